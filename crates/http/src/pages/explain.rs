//! Why a job is not running, in sentences, and the command that changes it.
//!
//! Every sentence is read off the ledger; what is not known is not said.

use backshift_core::{EffectState, JobRecord, State, Timestamp, record::PARKED};

use super::words;

/// What the page says above the timeline.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Explanation {
    /// The question that it answers.
    pub(super) question: &'static str,
    /// The reasons, most important first; empty = nothing to explain.
    pub(super) reasons: Vec<Reason>,
    /// A lead-in and the command.
    pub(super) remedy: Option<(&'static str, String)>,
}

/// One sentence, without its full stop.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reason {
    /// What is the case.
    pub(super) text: String,
    /// The time that it speaks of.
    pub(super) due: Option<Timestamp>,
    /// The words of the other side.
    pub(super) said: Option<String>,
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
        State::Scheduled if parked(job) => unknown(job, around),
        State::Scheduled => waits(job, around, "It waits for its time"),
        State::Retrying => waits(job, around, "It waits for its next attempt"),
        State::Available if parked(job) => stands_aside(job),
        State::Available => available(job),
        State::Dead => dead(job),
        State::Running | State::Completed | State::Cancelled => Explanation::default(),
    };
    let waiting = matches!(job.state, State::Scheduled | State::Retrying | State::Available);
    if waiting && around.paused {
        told.reasons.insert(0, plain(format!("Its queue {} is paused", job.queue)));
        told.remedy = Some(("To let it run:", format!("backshift queues resume {}", job.queue)));
    } else if waiting && !around.attended {
        told.reasons.push(plain(format!("No worker takes jobs from {} now", job.queue)));
        told.remedy = Some(("To start one:", format!("backshift worker --queue {}", job.queue)));
    }
    if job.effect == EffectState::Ambiguous && job.reason.as_deref() != Some("ambiguous") {
        told.reasons.push(plain(
            "Its effect may or may not have happened: the other side fell silent before it answered",
        ));
        told.question = if told.question.is_empty() { "What is not known?" } else { told.question };
    }
    told
}

fn plain(text: impl Into<String>) -> Reason {
    Reason { text: text.into(), ..Reason::default() }
}

fn last_words(job: &JobRecord) -> Option<Reason> {
    let said = job.error.clone().filter(|error| !error.is_empty())?;
    Some(Reason { text: "The last attempt said".into(), said: Some(said), due: None })
}

fn again(job: &JobRecord, lead: &'static str) -> Option<(&'static str, String)> {
    Some((lead, format!("backshift jobs retry {}", job.id)))
}

fn waits(job: &JobRecord, around: Surroundings, what: &str) -> Explanation {
    let at = Reason {
        text: format!("{what} at {}", words::due(job.run_at, around.now)),
        due: Some(job.run_at),
        said: None,
    };
    let reasons = std::iter::once(at).chain(last_words(job)).collect();
    Explanation { question: "Why is it not running?", reasons, remedy: again(job, "To run it at once:") }
}

fn parked(job: &JobRecord) -> bool {
    job.error.as_ref().is_some_and(|error| error.starts_with(PARKED))
}

fn unknown(job: &JobRecord, around: Surroundings) -> Explanation {
    let text = format!(
        "No worker that looked at it knows the kind {}. It is parked, which counts as no attempt",
        job.kind
    );
    let next = Reason {
        text: format!("The next look is at {}", words::due(job.run_at, around.now)),
        due: Some(job.run_at),
        said: None,
    };
    let reasons = vec![plain(text), next];
    let remedy =
        again(job, "Start a worker that knows the kind, or correct the name. To have it looked at now:");
    Explanation { question: "Why is it not running?", reasons, remedy }
}

fn stands_aside(job: &JobRecord) -> Explanation {
    let text = format!(
        "No worker that looked at it knows the kind {}. It is parked, which counts as no attempt, and goes at once to a \
         worker that knows it",
        job.kind
    );
    let remedy = Some((
        "Start a worker that knows the kind. If the name is wrong:",
        format!("backshift jobs cancel {}", job.id),
    ));
    Explanation { question: "Why is it not running?", reasons: vec![plain(text)], remedy }
}

fn available(job: &JobRecord) -> Explanation {
    let lost = words::count(u64::from(job.crashes), "time", "times");
    let reason = match job.crashes {
        0 => "It may run now and waits for a free slot".to_owned(),
        1 | 2 => format!("It may run now. Its worker was lost {lost}"),
        _ => format!("It may run now, alone in its process: its worker was lost {lost}"),
    };
    Explanation { question: "Why is it not running?", reasons: vec![plain(reason)], remedy: None }
}

fn dead(job: &JobRecord) -> Explanation {
    let why = match job.reason.as_deref() {
        Some("malformed") => "Its payload is not what its kind needs; it is kept byte for byte",
        Some("permanent") => "Its handler said that trying again cannot help",
        Some("attempts-exhausted") => "Every attempt that it may take has failed",
        Some("crash-loop") => "It ended its worker's process again and again, even when it ran alone",
        Some("ambiguous") => "Nobody can know whether it happened, and a second time could do harm",
        Some("expired") => "It came too late to be of use",
        Some("id-conflict") => "Another job was accepted under this id with another payload",
        Some("too-large") => "Its payload is larger than a worker accepts",
        _ => "It is kept for a person",
    };
    let reasons = std::iter::once(plain(why)).chain(last_words(job)).collect();
    Explanation {
        question: "Why is it dead?",
        reasons,
        remedy: again(job, "To run it again with fresh attempts:"),
    }
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
        assert!(told.reasons[0].text.contains("paused"));
        assert_eq!(told.reasons[1].due, Timestamp::from_second(100).ok());
        assert_eq!(told.reasons[2].said.as_deref(), Some("450 4.2.1 mailbox busy"));
        assert_eq!(told.remedy.unwrap().1, "backshift queues resume q");
    }

    #[test]
    fn running_jobs_need_no_explanation() {
        let around = Surroundings { paused: false, attended: true, now: Timestamp::from_second(0).unwrap() };
        assert!(explain(&job(State::Running), around).reasons.is_empty());
        assert_eq!(explain(&job(State::Dead), around).question, "Why is it dead?");
    }
}
