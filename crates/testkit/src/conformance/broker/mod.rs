//! The cases of `docs/spec/broker.md`, one file a chapter.
//!
//! Function names are the rules' names: `b3_…` tries **B3**.

mod close;
mod dead_letter;
mod delay;
mod deliver;
mod keys;
mod kinds;
mod lease;
mod order;
mod publish;
mod reconnect;
mod scene;
mod settle;

pub(super) use scene::Scene;

use super::case::Case;

/// Every case, in the order of the rules.
pub(super) fn cases() -> Vec<&'static Case<Scene>> {
    let chapters = [
        publish::CASES,
        deliver::CASES,
        settle::CASES,
        lease::CASES,
        delay::CASES,
        order::CASES,
        keys::CASES,
        kinds::CASES,
        dead_letter::CASES,
        close::CASES,
        reconnect::CASES,
    ];
    chapters.into_iter().flatten().collect()
}
