//! Why a job is not running, in sentences, each with the facts behind it and the command that changes it.
//!
//! Every sentence is read off the ledger; what is not known is not said. Pages and the terminal say the same
//! ([`told`](super::told)).

use std::borrow::Cow;

use backshift_core::{
    EffectState, JobRecord, Standing, State, Timestamp, store::WorkerRecord, sweep::HandRecord,
};

use super::{
    need::{Need, Remedy, attended, remedy},
    own_kinds::{OwnKinds, must_run},
    reason::Reason,
    stopped, troubles, words,
};

/// What the page says above the timeline.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Explanation {
    /// The question that it answers.
    pub(super) question: &'static str,
    /// The reasons, most important first; empty = nothing to explain.
    pub(super) reasons: Vec<Reason>,
    /// What changes the reason that decides.
    pub(super) remedy: Option<Remedy>,
}

/// What else bears on the job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// Its queue is paused.
    pub(super) paused: bool,
    /// Everybody who works.
    pub(super) workers: &'a [WorkerRecord],
    /// What was done to it by hand, oldest first.
    pub(super) hands: &'a [HandRecord],
    /// What a worker of ours could do.
    pub(super) own: &'a OwnKinds,
    /// The time.
    pub(super) now: Timestamp,
}

/// Explains a job that is not running or that needs a person.
pub(super) fn explain(job: &JobRecord, around: Surroundings<'_>) -> Explanation {
    let mut told = match (job.state, job.standing()) {
        (State::Scheduled, Some(Standing::Parked)) => unknown(job, around),
        (State::Scheduled, Some(Standing::Held)) => held(job, around),
        (State::Scheduled, None) => waits(job, around, "It waits for its time"),
        (State::Retrying, _) => waits(job, around, "It waits for its next attempt"),
        (State::Available, Some(_)) => stands_aside(job, around),
        (State::Available, None) => available(job),
        (State::Dead, _) => dead(job),
        (State::Cancelled, _) => because("Why was it cancelled?", vec![stopped::cancelled(around.hands)]),
        (State::Running | State::Completed, _) => Explanation::default(),
    };
    let waiting = matches!(job.state, State::Scheduled | State::Retrying | State::Available);
    if waiting && around.paused {
        told.reasons.insert(0, paused(job));
        told.remedy = told.reasons[0].remedy.clone();
    } else if waiting && !attended(around.workers, job.queue.as_str()) {
        let nobody = unattended(job, around);
        told.remedy = nobody.remedy.clone();
        told.reasons.insert(0, nobody);
    } else if waiting {
        let its_time = job.state == State::Scheduled && job.token.0 == 0 && job.run_at > around.now;
        let needs = troubles::of_job(around.workers, job, around.now);
        keep(&mut told, needs, if its_time { Place::AfterItsTime } else { Place::First });
    } else if job.state == State::Running {
        keep(&mut told, troubles::of_its_worker(around.workers, job, around.now), Place::First);
        told.reasons.extend(stopped::asked(job, around.hands));
        told.question = if told.reasons.is_empty() { "" } else { "What is it waiting for?" };
    }
    if job.effect == EffectState::Ambiguous && job.reason.as_deref() != Some("ambiguous") {
        told.reasons.push(plain(
            "Its effect may or may not have happened: the other side fell silent before it answered",
        ));
        told.question = if told.question.is_empty() { "What is not known?" } else { told.question };
    }
    told
}

/// Where what keeps workers from a job stands among its reasons.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Before all that it waits for.
    First,
    /// It is not due yet, and by then all may be well.
    AfterItsTime,
}

fn keep(told: &mut Explanation, needs: Vec<Need>, place: Place) {
    let reasons = needs.into_iter().map(|need| Reason {
        text: need.what,
        said: need.said,
        evidence: Some(need.why.trim_end_matches('.').to_owned()),
        remedy: need.command,
        stays: place == Place::First,
        ..Reason::default()
    });
    let at = if place == Place::First { 0 } else { told.reasons.len() };
    told.reasons.splice(at..at, reasons);
    told.remedy = told.reasons.first().and_then(|first| first.remedy.clone());
}

fn plain(text: impl Into<String>) -> Reason {
    Reason { text: text.into(), ..Reason::default() }
}

/// These reasons; the first one's remedy is the remedy.
fn because(question: &'static str, reasons: Vec<Reason>) -> Explanation {
    let remedy = reasons.first().and_then(|first| first.remedy.clone());
    Explanation { question, reasons, remedy }
}

fn paused(job: &JobRecord) -> Reason {
    Reason {
        evidence: Some("the store says so to every worker, in `backshift queues list` too".into()),
        remedy: Some(remedy("To let it run:", format!("backshift queues resume {}", job.queue))),
        stays: true,
        ..plain(format!("Its queue {} is paused", job.queue))
    }
}

fn unattended(job: &JobRecord, around: Surroundings<'_>) -> Reason {
    let otherwise = format!("backshift jobs cancel {}", job.id);
    let start = around.own.start_for((&job.kind, &job.queue), around.workers, otherwise);
    Reason {
        evidence: Some(who_works(around.workers)),
        remedy: Some(start),
        stays: true,
        ..plain(format!("No worker takes jobs from {} now", job.queue))
    }
}

/// Who gave a sign of life, and what each of them works.
pub(super) fn who_works(workers: &[WorkerRecord]) -> String {
    const NAMED: usize = 5;
    if workers.is_empty() {
        return "no worker gave a sign of life in the last minute".to_owned();
    }
    let named: Vec<String> =
        workers.iter().take(NAMED).map(|w| format!("{} works {}", w.name, w.queues)).collect();
    let more = match workers.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!(", and {n} more"),
    };
    format!("in the last minute {}{more}", named.join(", "))
}

fn last_words(job: &JobRecord) -> Option<Reason> {
    let said = job.error.clone().filter(|error| !error.is_empty())?;
    Some(Reason { said: Some(said), evidence: Some(attempt(job)), ..plain("The last attempt said") })
}

fn attempt(job: &JobRecord) -> String {
    let of = job.max_attempts.map_or(String::new(), |most| format!(" of {most}"));
    format!("attempt {}{of}, {}", job.attempt, words::count(job.token.0.unsigned_abs(), "start", "starts"))
}

fn again(job: &JobRecord, lead: impl Into<Cow<'static, str>>) -> Option<Remedy> {
    Some(remedy(lead, format!("backshift jobs retry {}", job.id)))
}

/// Whether it would end in the same way if it ran again: its bytes are at fault.
pub(super) fn ends_alike(job: &JobRecord) -> bool {
    job.state == State::Dead
        && matches!(job.reason.as_deref(), Some("malformed" | "too-large" | "id-conflict"))
}

/// What may help: the same bytes end in the same way, and a handler that gave up has its reason.
fn after_its_death(job: &JobRecord) -> Option<Remedy> {
    match job.reason.as_deref() {
        _ if ends_alike(job) => {
            let lead =
                "Run again it would end in the same way. Enqueue a corrected job, and delete this one:";
            Some(remedy(lead, format!("backshift jobs delete {}", job.id)))
        }
        Some("permanent") => again(job, "When what it met is mended, to run it again with fresh attempts:"),
        _ => again(job, "To run it again with fresh attempts:"),
    }
}

fn waits(job: &JobRecord, around: Surroundings<'_>, what: &str) -> Explanation {
    let at = Reason {
        due: Some(job.run_at),
        evidence: Some(attempt(job)),
        remedy: again(job, "To run it at once:"),
        ..plain(format!("{what} at {}", words::due(job.run_at, around.now)))
    };
    because("Why is it not running?", std::iter::once(at).chain(last_words(job)).collect())
}

/// What holds it comes first: its time is what the holder said.
fn held(job: &JobRecord, around: Surroundings<'_>) -> Explanation {
    let why = Reason {
        said: job.error.clone().filter(|error| !error.is_empty()),
        evidence: Some(attempt(job)),
        remedy: again(job, "To run it at once:"),
        ..plain("It was begun and is held, which counts as no attempt")
    };
    let on = Reason {
        due: Some(job.run_at),
        ..plain(format!("It goes on at {}", words::due(job.run_at, around.now)))
    };
    because("Why is it not running?", vec![why, on])
}

fn knows(job: &JobRecord, around: Surroundings<'_>) -> String {
    let knows = |worker: &&WorkerRecord| worker.kinds.contains(&job.kind);
    match around.workers.iter().find(knows) {
        Some(worker) => format!("{} knows the kind and works {}", worker.name, worker.queues),
        None => match around.workers.len() as u64 {
            0 => who_works(around.workers),
            n => format!(
                "{} that gave a sign of life, none with the kind",
                words::count(n, "worker", "workers")
            ),
        },
    }
}

fn unknown(job: &JobRecord, around: Surroundings<'_>) -> Explanation {
    let text = format!(
        "No worker that looked at it knows the kind {}. It is parked, which counts as no attempt",
        job.kind
    );
    let lead = format!("{}. To have it looked at now:", must_run(&[&job.kind]));
    let first =
        Reason { evidence: Some(knows(job, around)), remedy: again(job, lead), stays: true, ..plain(text) };
    let next = Reason {
        due: Some(job.run_at),
        ..plain(format!("The next look is at {}", words::due(job.run_at, around.now)))
    };
    because("Why is it not running?", vec![first, next])
}

fn stands_aside(job: &JobRecord, around: Surroundings<'_>) -> Explanation {
    let text = format!(
        "No worker that looked at it knows the kind {}. It is parked, which counts as no attempt, and goes at once to a \
         worker that knows it",
        job.kind
    );
    let cancel = format!("backshift jobs cancel {}", job.id);
    let reason = Reason {
        evidence: Some(knows(job, around)),
        remedy: Some(remedy(format!("{}. If the name is wrong:", must_run(&[&job.kind])), cancel)),
        stays: true,
        ..plain(text)
    };
    because("Why is it not running?", vec![reason])
}

fn available(job: &JobRecord) -> Explanation {
    let lost = words::count(u64::from(job.crashes), "time", "times");
    let reason = match job.crashes {
        0 => "It is due and waits for a worker".to_owned(),
        1 | 2 => format!("It is due. Its worker was lost {lost}"),
        _ => format!("It is due, and will be alone in its process: its worker was lost {lost}"),
    };
    let reason =
        Reason { evidence: Some(format!("priority {}, {}", job.priority, attempt(job))), ..plain(reason) };
    because("Why is it not running?", vec![reason])
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
    let reason = job.reason.as_deref().map_or(String::new(), |reason| format!("reason {reason}, "));
    let first = Reason {
        evidence: Some(reason + &attempt(job)),
        remedy: after_its_death(job),
        stays: true,
        ..plain(why)
    };
    because("Why is it dead?", std::iter::once(first).chain(last_words(job)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::{super::specimen::job, *};
    use backshift_core::{
        Token, WorkerName,
        store::{Harm, Trouble},
    };

    fn surroundings(workers: &[WorkerRecord], now: Timestamp) -> Surroundings<'_> {
        static OWN: LazyLock<OwnKinds> = LazyLock::new(|| OwnKinds::new([job(State::Dead).kind], []));
        Surroundings { paused: false, workers, hands: &[], own: &OWN, now }
    }

    fn worker(now: Timestamp) -> WorkerRecord {
        WorkerRecord {
            name: WorkerName::new("w").unwrap(),
            queues: "q:10".into(),
            kinds: Vec::new(),
            started_at: now,
            seen_at: now,
            running: 0,
            troubles: Vec::new(),
        }
    }

    #[test]
    fn the_first_reason_is_the_one_that_decides() {
        let now = Timestamp::from_second(40).unwrap();
        let workers = [worker(now)];
        let around = Surroundings { paused: true, ..surroundings(&workers, now) };
        let told = explain(&job(State::Retrying), around);
        assert!(told.reasons[0].text.contains("paused"));
        assert_eq!(told.reasons[1].due, Timestamp::from_second(100).ok());
        assert_eq!(told.reasons[2].said.as_deref(), Some("450 4.2.1 mailbox busy"));
        assert_eq!(told.remedy.unwrap().1, "backshift queues resume q");
        assert_eq!(told.reasons.iter().map(|reason| reason.stays).collect::<Vec<_>>(), [true, false, false]);
        let alone = explain(&job(State::Retrying), surroundings(&[], now));
        assert_eq!(alone.remedy.unwrap().1, "backshift worker --queue q");
        assert!(alone.reasons[0].stays);
        let foreign = OwnKinds::default();
        let nobody = Surroundings { own: &foreign, ..surroundings(&[], now) };
        let (lead, command) = explain(&job(State::Available), nobody).remedy.unwrap();
        assert!(lead.starts_with("The program that handles k must run, with a pool for q"), "{lead}");
        assert!(
            command.starts_with("backshift jobs cancel "),
            "a worker of ours would only park it: {command}"
        );
        let elsewhere =
            [WorkerRecord { queues: "other:1".into(), kinds: vec![job(State::Dead).kind], ..worker(now) }];
        let (lead, _) =
            explain(&job(State::Available), Surroundings { workers: &elsewhere, ..nobody }).remedy.unwrap();
        assert!(lead.starts_with("w handles k, and works other:1: give it a pool for q"), "{lead}");
        let moves = explain(&job(State::Retrying), Surroundings { paused: false, ..around });
        assert!(moves.reasons.iter().all(|reason| !reason.stays), "{moves:?}");
    }

    #[test]
    fn what_is_held_says_by_whom_before_it_says_until_when() {
        let now = Timestamp::from_second(40).unwrap();
        let workers = [worker(now)];
        let around = surroundings(&workers, now);
        let said = "gravatar is failing; its breaker is open for 60s";
        let mut some = JobRecord { error: Some(said.into()), ..job(State::Scheduled) };
        let told = explain(&some, around);
        assert_eq!(told.reasons[0].said.as_deref(), Some(said));
        assert_eq!(told.reasons[1].due, Timestamp::from_second(100).ok());
        let told = explain(&some, Surroundings { workers: &[], ..around });
        assert!(
            told.reasons[0].text.starts_with("No worker takes jobs"),
            "nobody would take it at its time either"
        );
        some.token = Token(0);
        assert!(explain(&some, around).reasons[0].text.starts_with("It waits for its time"));
    }

    #[test]
    fn running_jobs_need_no_explanation() {
        let around = surroundings(&[], Timestamp::from_second(0).unwrap());
        assert!(explain(&job(State::Running), around).reasons.is_empty());
        assert_eq!(explain(&job(State::Dead), around).question, "Why is it dead?");
    }

    #[test]
    fn a_dead_mail_server_is_the_first_cause_of_a_mail_that_waits_for_it() {
        let now = Timestamp::from_second(40).unwrap();
        let said = "network at connect: connection refused".to_owned();
        let trouble = Trouble {
            part: "mail".into(),
            said: said.clone(),
            harm: Harm::Held,
            since: now,
            next: Timestamp::from_second(45).ok(),
            queue: None,
            kinds: vec![job(State::Dead).kind],
        };
        let workers = [WorkerRecord { troubles: vec![trouble], ..worker(now) }];
        let around = surroundings(&workers, now);
        for state in [State::Scheduled, State::Available, State::Retrying] {
            let told = explain(&job(state), around);
            assert_eq!(told.reasons[0].text, "Mail is paused in w", "{state:?}");
            assert_eq!(told.reasons[0].said.as_ref(), Some(&said));
            let evidence = told.reasons[0].evidence.clone().unwrap();
            assert!(evidence.contains("00:00:40 UTC") && evidence.contains("Next probe at 00:00:45"));
            assert_eq!(told.remedy.unwrap().1, "backshift doctor");
            assert!(told.reasons.len() > 1 && told.reasons[0].stays);
        }
        let running = JobRecord { worker: Some("w".into()), ..job(State::Running) };
        let told = explain(&running, around);
        assert_eq!((told.question, told.reasons.len()), ("What is it waiting for?", 1));
        let tomorrow = JobRecord { token: Token(0), ..job(State::Scheduled) };
        let told = explain(&tomorrow, around);
        assert!(told.reasons[0].text.starts_with("It waits for its time"), "{told:?}");
        assert!(told.reasons.iter().all(|reason| !reason.stays), "{told:?}");
        assert!(
            explain(&tomorrow, Surroundings { paused: true, ..around }).reasons[0].text.contains("paused")
        );
    }

    #[test]
    fn what_would_end_in_the_same_way_is_not_told_to_run_again() {
        let now = Timestamp::from_second(40).unwrap();
        let around = surroundings(&[], now);
        for (reason, command) in [
            ("malformed", "jobs delete"),
            ("too-large", "jobs delete"),
            ("permanent", "jobs retry"),
            ("attempts-exhausted", "jobs retry"),
        ] {
            let job = JobRecord { reason: Some(reason.to_owned()), ..job(State::Dead) };
            let (lead, told) = explain(&job, around).reasons[0].remedy.clone().unwrap();
            assert!(told.starts_with(&format!("backshift {command} ")), "{reason}: {lead} {told}");
        }
    }
}
