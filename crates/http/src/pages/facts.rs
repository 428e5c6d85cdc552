//! What is written about a job beside its life, and its payload: on its page and in the terminal.

use backshift_core::{EffectState, JobRecord, State, Timestamp};

use super::{
    mask::{self, Shown},
    words,
};

/// Characters of a fact.
const SAID: usize = 300;

/// One fact.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// What it is, in a word or two.
    pub name: &'static str,
    /// What holds; masked.
    pub value: String,
    /// What else belongs to it.
    pub beside: Option<String>,
    /// The time, where the fact is one.
    pub at: Option<Timestamp>,
}

/// The facts of a job, in the order in which they are shown.
pub(super) fn facts(job: &JobRecord) -> Vec<Fact> {
    let fact = |name, value| Fact { name, value, beside: None, at: None };
    let when = |name, at: Timestamp| Fact { at: Some(at), ..fact(name, words::full(at)) };
    let effect = match job.effect {
        EffectState::None if job.state.is_final() => "none outside",
        EffectState::None => "none yet",
        EffectState::Intended => "begun, its end is not known yet",
        EffectState::Done => "done, the other side said so",
        EffectState::Ambiguous => "ambiguous: nobody can know",
    };
    let mut facts = vec![
        fact("Kind", job.kind.to_string()),
        Fact { beside: Some(format!("on {}", job.broker)), ..fact("Queue", job.queue.to_string()) },
        fact("Effect", effect.to_owned()),
        when("Accepted", job.created_at),
    ];
    facts.extend(job.finished_at.map(|at| when("Finished", at)));
    facts.extend(job.lease_until.filter(|_| job.state == State::Running).map(|at| when("Lease until", at)));
    let optional = [
        ("Worker", job.worker.clone()),
        ("Note", job.note.clone()),
        ("Reason", job.reason.clone()),
        ("Starts", (job.token.0 > 1).then(|| job.token.to_string())),
        ("Lost workers", (job.crashes > 0).then(|| job.crashes.to_string())),
        ("Priority", (job.priority != 0).then(|| job.priority.to_string())),
        ("Unique key", job.unique_key.clone()),
        ("User", job.user_id.map(|id| id.to_string())),
    ];
    let optional =
        optional.into_iter().filter_map(|(name, value)| Some(fact(name, mask::said(&value?, SAID))));
    facts.extend(optional);
    facts
}

/// The payload as it is shown.
pub(super) fn payload(job: &JobRecord, shown: Shown) -> String {
    match &job.payload {
        Some(payload) => mask::payload(payload, shown),
        None => "(not kept here: it is sensitive, too large, or a mail of another program)".to_owned(),
    }
}
