//! The cases of `docs/spec/engine.md`: the real engine on a broker and a store, as a worker process runs it.
//!
//! Every case has a broker namespace and a store of its own; workers are tasks of this process, except where a
//! frozen one is needed.

mod ends;
mod enqueue;
mod handover;
mod kinds;
mod redelivery;
mod scene;
mod steering;
mod stopping;

pub(super) use scene::Scene;

use super::case::Case;

/// Every case, in the order of the rules.
pub(super) fn cases() -> Vec<&'static Case<Scene>> {
    let chapters = [
        ends::CASES,
        stopping::CASES,
        redelivery::CASES,
        handover::CASES,
        steering::CASES,
        enqueue::CASES,
        kinds::CASES,
    ];
    chapters.into_iter().flatten().collect()
}
