//! A job's life, top to bottom: accepted, each start and how it ended, what comes next.

use backshift_core::{AttemptRecord, JobRecord, State};
use serde::Serialize;

use super::words;

/// One step of the timeline.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Step {
    /// The state whose colour it has.
    tone: &'static str,
    /// When.
    time: String,
    /// What happened.
    what: String,
    /// The words of the other side.
    said: Option<String>,
    /// How long it took.
    took: String,
}

/// The steps of a job.
pub(super) fn life(job: &JobRecord, attempts: &[AttemptRecord]) -> Vec<Step> {
    let mut steps = vec![Step {
        tone: "scheduled",
        time: words::precise(job.created_at),
        what: format!("Accepted into {}", job.queue),
        said: job.headers.get(backshift_core::envelope::TRACEPARENT).map(|trace| format!("trace {trace}")),
        took: String::new(),
    }];
    for attempt in attempts {
        steps.push(start(attempt));
        steps.extend(end(attempt));
    }
    steps.extend(ahead(job));
    steps
}

fn start(attempt: &AttemptRecord) -> Step {
    let took = attempt.ended_at.map(|end| words::span(attempt.started_at, end)).unwrap_or_default();
    Step {
        tone: "running",
        time: words::precise(attempt.started_at),
        what: format!("Attempt {} on {}, token {}", attempt.attempt, attempt.worker, attempt.token),
        said: None,
        took,
    }
}

fn end(attempt: &AttemptRecord) -> Option<Step> {
    let (tone, what) = match attempt.outcome.as_deref()? {
        "completed" => ("completed", "Done"),
        "error" => ("retrying", "Failed"),
        "panic" => ("retrying", "Its handler panicked"),
        "timeout" => ("retrying", "Took longer than it may"),
        "crash" => ("dead", "Its worker was lost; this counts as no attempt"),
        "released" => ("scheduled", "Went back; this counts as no attempt"),
        "dead" => ("dead", "Failed for good"),
        "cancelled" => ("cancelled", "Cancelled"),
        _ => ("scheduled", "Ended"),
    };
    Some(Step {
        tone,
        time: attempt.ended_at.map(words::precise).unwrap_or_default(),
        what: what.to_owned(),
        said: attempt.error.clone(),
        took: String::new(),
    })
}

fn ahead(job: &JobRecord) -> Option<Step> {
    let (time, what) = match job.state {
        State::Scheduled | State::Retrying => {
            (words::clock(job.run_at), format!("Attempt {} is due", job.attempt))
        }
        State::Available => ("next".to_owned(), "Waits for a free slot".to_owned()),
        State::Running | State::Completed | State::Dead | State::Cancelled => return None,
    };
    Some(Step { tone: "available", time, what, said: None, took: String::new() })
}
