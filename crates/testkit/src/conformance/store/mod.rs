//! The cases of `docs/spec/store.md`, one file a chapter.
//!
//! Every case has a store of its own, so that counts, rescues and lists see nothing of other cases.

mod breakers;
mod cancel;
mod claim;
mod effects;
mod finish;
mod handover;
mod heartbeat;
mod limits;
mod list;
mod maintenance;
mod outbox;
mod parking;
mod queues;
mod redelivery;
mod scene;
mod schedules;
mod sweeps;
mod unique;
mod wishes;

pub(super) use scene::Scene;

use super::case::Case;

/// Every case, in the order of the rules.
pub(super) fn cases() -> Vec<&'static Case<Scene>> {
    let chapters = [
        claim::CASES,
        redelivery::CASES,
        finish::CASES,
        heartbeat::CASES,
        list::CASES,
        cancel::CASES,
        queues::CASES,
        maintenance::CASES,
        schedules::CASES,
        limits::CASES,
        breakers::CASES,
        effects::CASES,
        outbox::CASES,
        unique::CASES,
        parking::CASES,
        handover::CASES,
        wishes::CASES,
        sweeps::CASES,
    ];
    chapters.into_iter().flatten().collect()
}
