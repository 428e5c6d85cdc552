//! Why a job is not running, in sentences, and the command that changes it.
//!
//! Every sentence is read off the ledger; what is not known is not said.

use backshift_core::{EffectState, JobRecord, State, Timestamp};

use super::words;

/// What the page says above the timeline.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Explanation {
    /// The question that it answers.
    pub(super) question: &'static str,
    /// The reasons, most important first; empty = nothing to explain.
    pub(super) reasons: Vec<String>,
    /// A lead-in and the command.
    pub(super) remedy: Option<(&'static str, String)>,
}

/// What else bears on the job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings {
    /// Its queue is paused.
    pub(super) paused: bool,
    /// A worker takes from its queue.
    pub(super) attended: bool,
    /// The time.
    pub(super) now: Timestamp,
}

/// Explains a job that is not running or that needs a person.
pub(super) fn explain(job: &JobRecord, around: Surroundings) -> Explanation {
    let mut told = match job.state {
        State::Scheduled => waits(job, around, "It waits for its time"),
        State::Retrying => waits(job, around, "It waits for its next attempt"),
        State::Available => available(job),
        State::Dead => dead(job),
        State::Running | State::Completed | State::Cancelled => Explanation::default(),
    };
    let waiting = matches!(job.state, State::Scheduled | State::Retrying | State::Available);
    if waiting && around.paused {
        told.reasons.insert(0, format!("Its queue {} is paused.", job.queue));
        told.remedy = Some(("To let it run:", format!("backshift queues resume {}", job.queue)));
    } else if waiting && !around.attended {
        told.reasons.push(format!("No worker takes jobs from {} now.", job.queue));
        told.remedy = Some(("To start one:", format!("backshift worker --queue {}", job.queue)));
    }
    if job.effect == EffectState::Ambiguous {
        told.reasons.push(
            "Its effect may or may not have happened: the other side fell silent before it answered.".into(),
        );
    }
    told
}

fn waits(job: &JobRecord, around: Surroundings, what: &str) -> Explanation {
    let at = format!("{what} at {}, {}.", words::clock(job.run_at), words::relative(job.run_at, around.now));
    let mut reasons = vec![at];
    reasons.extend(job.error.as_ref().map(|error| format!("The last attempt said: {error}")));
    let remedy = Some(("To run it at once:", format!("backshift jobs retry {}", job.id)));
    Explanation { question: "Why is it not running?", reasons, remedy }
}

fn available(job: &JobRecord) -> Explanation {
    let reasons = vec![match job.crashes {
        0 => "It may run now and waits for a free slot.".to_owned(),
        n => format!("It may run now. Its worker was lost {}.", words::count(u64::from(n), "time", "times")),
    }];
    Explanation { question: "Why is it not running?", reasons, remedy: None }
}

fn dead(job: &JobRecord) -> Explanation {
    let why = match job.reason.as_deref() {
        Some("malformed") => "The message is no job that can be read; it is kept byte for byte.",
        Some("permanent") => "Its handler said that trying again cannot help.",
        Some("attempts-exhausted") => "Every attempt that it may take has failed.",
        Some("crash-loop") => "It ended its worker's process again and again, even when it ran alone.",
        Some("ambiguous") => "Nobody can know whether it happened, and a second time could do harm.",
        Some("expired") => "It came too late to be of use.",
        Some("id-conflict") => "Another job was accepted under this id with another payload.",
        Some("too-large") => "Its payload is larger than a worker accepts.",
        _ => "It is kept for a person.",
    };
    let mut reasons = vec![why.to_owned()];
    reasons.extend(job.error.as_ref().map(|error| format!("The last attempt said: {error}")));
    let remedy = Some(("To run it again with fresh attempts:", format!("backshift jobs retry {}", job.id)));
    Explanation { question: "Why is it dead?", reasons, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backshift_core::{Headers, JobId, Kind, QueueName, Token};

    fn job(state: State) -> JobRecord {
        let at = Timestamp::from_second(100).unwrap();
        JobRecord {
            id: JobId::generate(),
            kind: Kind::new("k").unwrap(),
            queue: QueueName::new("q").unwrap(),
            broker: "embedded".into(),
            state,
            attempt: 2,
            max_attempts: Some(3),
            priority: 0,
            token: Token(1),
            run_at: at,
            created_at: at,
            started_at: None,
            finished_at: None,
            error: Some("450 4.2.1 mailbox busy".into()),
            reason: None,
            effect: EffectState::None,
            note: None,
            worker: None,
            lease_until: None,
            crashes: 0,
            progress: None,
            output: None,
            payload: None,
            payload_size: 0,
            headers: Headers::new(),
            unique_key: None,
            user_id: None,
        }
    }

    #[test]
    fn the_first_reason_is_the_one_that_decides() {
        let now = Timestamp::from_second(40).unwrap();
        let told = explain(&job(State::Retrying), Surroundings { paused: true, attended: true, now });
        assert!(told.reasons[0].contains("paused"));
        assert!(told.reasons[1].contains("in 60.0 s") && told.reasons[2].contains("450 4.2.1"));
        assert_eq!(told.remedy.unwrap().1, "backshift queues resume q");
    }

    #[test]
    fn running_jobs_need_no_explanation() {
        let around = Surroundings { paused: false, attended: true, now: Timestamp::from_second(0).unwrap() };
        assert!(explain(&job(State::Running), around).reasons.is_empty());
        assert_eq!(explain(&job(State::Dead), around).question, "Why is it dead?");
    }
}
