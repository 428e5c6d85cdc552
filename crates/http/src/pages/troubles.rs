//! What stands still in the fleet: workers that are not ready, transports that are paused, kinds that nobody knows.
//!
//! A worker speaks of itself through the store, so these are its words of at most a few seconds ago. One cause in many
//! workers or queues is one line.

use std::{cmp::Reverse, collections::BTreeMap};

use backshift_core::{
    JobRecord, Kind, QueueName, Timestamp,
    store::{Harm, ParkedKind, Trouble, WorkerRecord},
};
use minijinja::Value;

use super::{
    link, mask,
    need::{Need, Remedy, few, remedy, rest},
    own_kinds::must_run,
    sight::Sight,
    view::View,
    words,
};

/// Characters of a cause.
const CAUSE: usize = 200;
/// More lines help nobody; the page of the workers has the rest.
const LINES: usize = 20;

/// One cause and everybody who has it.
struct Shared<'a> {
    first: &'a Trouble,
    parts: Vec<&'a str>,
    workers: Vec<&'a WorkerRecord>,
    since: Timestamp,
    next: Option<Timestamp>,
}

/// What keeps workers from their work, one need a cause.
pub(super) fn of_workers(sight: &Sight, now: Timestamp) -> Vec<Need> {
    few(
        causes(&sight.workers, |_| true),
        |shared| need(shared, now),
        |_, n| {
            let what = words::count(
                n,
                "more thing keeps workers from their work",
                "more things keep workers from their work",
            );
            rest("dead", what).to("See workers", "/workers")
        },
    )
}

/// What those who work this queue have to do with it, each with whether it stays so: nobody who does the same work is well.
/// `holds` says whether jobs of one of these kinds wait in it.
pub(super) fn of_queue(
    workers: &[WorkerRecord],
    queue: &QueueName,
    holds: impl Fn(&[Kind]) -> bool,
    now: Timestamp,
) -> Vec<(Need, bool)> {
    let keeps =
        |trouble: &Trouble| trouble.meets(queue) && (trouble.kinds.is_empty() || holds(&trouble.kinds));
    let theirs = || workers.iter().filter(|worker| worker.works(queue.as_str()));
    let stays = |cause: &Shared<'_>| {
        let kinds = &cause.first.kinds;
        let same = |w: &&WorkerRecord| kinds.is_empty() || w.kinds.iter().any(|kind| kinds.contains(kind));
        theirs().filter(same).all(|worker| worker.troubles.iter().any(keeps))
    };
    causes(theirs(), keeps).iter().take(LINES).map(|cause| (need(cause, now), stays(cause))).collect()
}

/// The same for a job: nothing as long as anybody is well who works its queue and knows its kind. Where nobody knows it,
/// everybody counts who works the queue.
pub(super) fn of_job(workers: &[WorkerRecord], job: &JobRecord, now: Timestamp) -> Vec<Need> {
    let keeps = |trouble: &Trouble| {
        trouble.meets(&job.queue) && (trouble.kinds.is_empty() || trouble.kinds.contains(&job.kind))
    };
    let works = |worker: &&WorkerRecord| worker.works(job.queue.as_str());
    let knows = |worker: &&WorkerRecord| worker.kinds.contains(&job.kind);
    let known = workers.iter().filter(works).any(|worker| knows(&worker));
    let theirs = || workers.iter().filter(works).filter(move |worker| !known || knows(worker));
    let all = theirs().all(|worker| worker.troubles.iter().any(keeps));
    if all { told(theirs(), keeps, now) } else { Vec::new() }
}

/// What keeps the worker that runs a job from ending it, such as a pause that the job waits for in its slot.
pub(super) fn of_its_worker(workers: &[WorkerRecord], job: &JobRecord, now: Timestamp) -> Vec<Need> {
    let its = workers.iter().filter(|worker| job.worker.as_deref() == Some(worker.name.as_str()));
    told(its, |trouble| trouble.harm == Harm::Held && trouble.kinds.contains(&job.kind), now)
}

fn told<'a>(
    workers: impl IntoIterator<Item = &'a WorkerRecord>,
    tell: impl Fn(&Trouble) -> bool,
    now: Timestamp,
) -> Vec<Need> {
    causes(workers, tell).iter().take(LINES).map(|shared| need(shared, now)).collect()
}

fn causes<'a>(
    workers: impl IntoIterator<Item = &'a WorkerRecord>,
    tell: impl Fn(&Trouble) -> bool,
) -> Vec<Shared<'a>> {
    let mut causes: BTreeMap<(Harm, &str), Shared<'_>> = BTreeMap::new();
    for worker in workers {
        for trouble in worker.troubles.iter().filter(|trouble| tell(trouble)) {
            let shared = causes.entry((trouble.harm, trouble.said.as_str())).or_insert_with(|| Shared {
                first: trouble,
                parts: Vec::new(),
                workers: Vec::new(),
                since: trouble.since,
                next: trouble.next,
            });
            if !shared.parts.contains(&trouble.part.as_str()) {
                shared.parts.push(&trouble.part);
            }
            if shared.workers.last().is_none_or(|last| last.name != worker.name) {
                shared.workers.push(worker);
            }
            shared.since = shared.since.min(trouble.since);
            shared.next = shared.next.into_iter().chain(trouble.next).min();
        }
    }
    let mut causes: Vec<_> = causes.into_values().collect();
    causes.sort_by_key(|cause| (cause.first.harm, Reverse(cause.workers.len())));
    causes
}

fn need(shared: &Shared<'_>, now: Timestamp) -> Need {
    let many = shared.workers.len() as u64;
    let (who, href) = match shared.workers.as_slice() {
        [one] => (one.name.to_string(), link::worker(one.name.as_str())),
        _ => (words::count(many, "worker", "workers"), "/workers".to_owned()),
    };
    let part = mask::said(shared.parts.first().copied().unwrap_or_default(), CAUSE);
    let parts = match shared.parts.len() {
        0 | 1 => part,
        n => format!("{part} and {} more", words::number(n as u64 - 1)),
    };
    let what = match (shared.first.harm, many) {
        (Harm::Held, _) => format!("{} is paused in {who}", words::capital(&parts)),
        (Harm::Failing, _) => format!("{} fails in {who}", words::capital(&parts)),
        (Harm::Unready, 1) => format!("{who} is not ready: {parts}"),
        (Harm::Unready, _) => format!("{who} are not ready: {parts}"),
    };
    Need {
        tone: if shared.first.harm == Harm::Unready { "dead" } else { "retrying" },
        what,
        said: Some(mask::said(&shared.first.said, CAUSE)),
        why: follows(shared, now),
        command: Some(remedy("To try its servers:", "backshift doctor")),
        things: 1,
        step: (if many == 1 { "See worker" } else { "See workers" }, Value::from_safe_string(href)),
    }
}

/// Since when, what that does to jobs, and when it is tried again.
fn follows(shared: &Shared<'_>, now: Timestamp) -> String {
    let since = words::due(shared.since, now);
    let does = match shared.first.harm {
        Harm::Held => format!("Since {since}. Jobs are held, which uses no attempt."),
        Harm::Failing => format!("Since {since}, and each try uses an attempt."),
        Harm::Unready => format!("Since {since}."),
    };
    let next = match (shared.first.harm, shared.next) {
        (Harm::Failing, _) => "The next job tries again.".to_owned(),
        (Harm::Unready, None) => "It tries again by itself.".to_owned(),
        (_, None) => "The next job probes.".to_owned(),
        (_, Some(at)) if at <= now => "The next job probes.".to_owned(),
        (_, Some(at)) => format!("Next probe at {}.", words::due(at, now)),
    };
    format!("{does} {next}")
}

/// Jobs of kinds that none of those who work their queue knows.
pub(super) fn unknown_kinds(view: &View<'_>, now: Timestamp) -> Vec<Need> {
    let mut kinds = view.stranded.clone();
    kinds.sort_by_key(|parked| Reverse(parked.jobs));
    few(
        kinds,
        |parked| unknown(parked, now),
        |_, n| {
            let least = if view.has_unlisted() { "At least " } else { "" };
            let kinds = words::count(n, "more kind is", "more kinds are");
            rest("retrying", format!("{least}{kinds} known to no worker of their queue"))
                .to("See jobs", "/jobs?find=parked")
        },
    )
}

/// The same of one queue, each with the command that shows its jobs.
pub(super) fn unknown_kinds_of(queue: &QueueName, view: &View<'_>, now: Timestamp) -> Vec<(Need, Remedy)> {
    let here = view.stranded.iter().filter(|parked| parked.queue == *queue);
    let here = here.take(LINES).map(|parked| unknown(parked, now));
    here.filter_map(|mut need| need.command.take().map(|remedy| (need, remedy))).collect()
}

fn unknown(parked: &ParkedKind, now: Timestamp) -> Need {
    let ParkedKind { queue, kind, jobs, since } = parked;
    let many = words::or_more(*jobs, *jobs >= u64::from(ParkedKind::COUNTED));
    let many = format!("{many} {}", if *jobs == 1 { "job is" } else { "jobs are" });
    Need {
        tone: "retrying",
        what: format!("No worker of {queue} knows the kind {kind}"),
        said: None,
        why: format!(
            "{many} parked since {}, which uses no attempt. A worker that knows the kind takes them at once.",
            words::due(*since, now)
        ),
        command: Some(remedy(
            format!("{}. If the name is wrong:", must_run(&[kind])),
            format!("backshift jobs list --queue {queue} --kind {kind}"),
        )),
        things: 1,
        step: ("See jobs", link::jobs(&[("find", &format!("queue:{queue} kind:{kind}"))])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backshift_core::{State, WorkerName};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn worker(name: &str, troubles: Vec<Trouble>) -> WorkerRecord {
        WorkerRecord {
            name: WorkerName::new(name).unwrap(),
            queues: "q:1".into(),
            kinds: vec![Kind::new("known").unwrap()],
            started_at: at(0),
            seen_at: at(100),
            running: 0,
            troubles,
        }
    }

    fn trouble(part: &str, said: &str, harm: Harm, since: i64, next: Option<i64>) -> Trouble {
        let queue = part.strip_prefix("queue ").and_then(|name| QueueName::new(name).ok());
        let (part, said, since, next) = (part.into(), said.into(), at(since), next.map(at));
        Trouble { part, said, harm, since, next, queue, kinds: Vec::new() }
    }

    #[test]
    fn one_cause_in_many_workers_and_queues_is_one_line() {
        let mut sight = Sight::empty();
        let away = |queue: &str| trouble(queue, "connection refused", Harm::Unready, 50, None);
        let mail = |since| trouble("mail", "535 5.7.8 anna@example.com", Harm::Held, since, Some(130));
        sight.workers.push(worker("a", vec![mail(90), away("queue x"), away("queue y")]));
        sight.workers.push(worker("b", vec![mail(80), away("queue x")]));
        sight.workers.push(worker("c", Vec::new()));
        let needs = of_workers(&sight, at(100));
        let told: Vec<_> = needs.iter().map(|need| (need.what.as_str(), need.why.as_str())).collect();
        assert_eq!(
            told,
            [
                (
                    "2 workers are not ready: queue x and 1 more",
                    "Since 00:00:50 UTC. It tries again by itself."
                ),
                (
                    "Mail is paused in 2 workers",
                    "Since 00:01:20 UTC. Jobs are held, which uses no attempt. Next probe at 00:02:10 UTC."
                ),
            ]
        );
        assert_eq!(needs[1].said.as_deref(), Some("535 5.7.8 an***@example.com"));
        sight.workers.truncate(1);
        assert_eq!(of_workers(&sight, at(100))[0].what, "a is not ready: queue x and 1 more");
        sight.workers = vec![worker("c", Vec::new())];
        assert!(of_workers(&sight, at(100)).is_empty());
    }

    #[test]
    fn a_kind_is_unknown_when_none_of_those_who_work_its_queue_knows_it() {
        let mut sight = Sight::empty();
        let parked = |queue: &str, kind: &str, jobs| ParkedKind {
            queue: QueueName::new(queue).unwrap(),
            kind: Kind::new(kind).unwrap(),
            jobs,
            since: at(10),
        };
        sight.workers.push(worker("a", Vec::new()));
        sight.parked =
            vec![parked("q", "known", 1), parked("q", "strange", 1000), parked("nobody", "strange", 1)];
        let needs = unknown_kinds(&View::of(&sight), at(100));
        assert_eq!(needs.len(), 1, "{needs:?}");
        assert_eq!(needs[0].what, "No worker of q knows the kind strange");
        assert!(needs[0].why.starts_with("1,000 or more jobs are parked since 00:00:10 UTC"), "{needs:?}");
    }

    #[test]
    fn of_many_unknown_kinds_those_with_the_most_jobs_are_told() {
        let mut sight = Sight::empty();
        sight.workers.push(worker("a", Vec::new()));
        let parked = |n: u32| ParkedKind {
            queue: QueueName::new("q").unwrap(),
            kind: Kind::new(format!("strange-{n:02}")).unwrap(),
            jobs: u64::from(n) + 1,
            since: at(10),
        };
        sight.parked = (0..9).map(parked).collect();
        let told = unknown_kinds(&View::of(&sight), at(100));
        assert_eq!(told[0].what, "No worker of q knows the kind strange-08");
        assert_eq!(told.last().unwrap().what, "4 more kinds are known to no worker of their queue");
        sight.parked = (0..ParkedKind::LISTED).map(parked).collect();
        let told = unknown_kinds(&View::of(&sight), at(100));
        assert_eq!(told.last().unwrap().what, "At least 45 more kinds are known to no worker of their queue");
    }

    #[test]
    fn a_count_that_stopped_says_that_there_may_be_more() {
        let mut sight = Sight::empty();
        sight.workers.push(worker("a", Vec::new()));
        let parked = |kind: String, jobs| ParkedKind {
            queue: QueueName::new("q").unwrap(),
            kind: Kind::new(kind).unwrap(),
            jobs,
            since: at(10),
        };
        let queue = QueueName::new("q").unwrap();
        sight.parked = vec![parked("strange".into(), 999)];
        assert_eq!(View::of(&sight).stranded_in(&queue), (999, false));
        sight.parked = vec![parked("strange".into(), 1000)];
        assert_eq!(View::of(&sight).stranded_in(&queue), (1000, true));
        sight.parked = (0..ParkedKind::LISTED).map(|n| parked(format!("strange-{n}"), 1)).collect();
        assert_eq!(View::of(&sight).stranded_in(&queue), (50, true), "there may be other kinds");
    }

    fn job(queue: &str, kind: &str) -> JobRecord {
        JobRecord {
            queue: QueueName::new(queue).unwrap(),
            kind: Kind::new(kind).unwrap(),
            ..super::super::specimen::job(State::Available)
        }
    }

    #[test]
    fn a_job_is_kept_back_by_what_meets_its_queue_and_kind_in_everybody_who_works_it() {
        let mails = Trouble {
            kinds: vec![Kind::new("email.send").unwrap()],
            ..trouble("mail", "no route", Harm::Held, 50, Some(130))
        };
        let other = trouble("queue other", "refused", Harm::Unready, 50, None);
        let mut workers = vec![worker("a", vec![mails.clone(), other])];
        let told = |workers: &[WorkerRecord], job: &JobRecord| -> Vec<String> {
            of_job(workers, job, at(100)).into_iter().map(|need| need.what).collect()
        };
        assert_eq!(told(&workers, &job("q", "email.send")), ["Mail is paused in a"]);
        assert!(told(&workers, &job("q", "known")).is_empty(), "it sends no mail");
        workers.push(worker("b", vec![mails]));
        assert_eq!(told(&workers, &job("q", "email.send")), ["Mail is paused in 2 workers"]);
        let sends = |worker| WorkerRecord { kinds: vec![Kind::new("email.send").unwrap()], ..worker };
        workers = workers.into_iter().map(sends).collect();
        workers.push(worker("c", Vec::new()));
        assert_eq!(
            told(&workers, &job("q", "email.send")),
            ["Mail is paused in 2 workers"],
            "c knows no mails"
        );
        let waits = |workers: &[WorkerRecord], held: bool| -> Vec<bool> {
            let all = of_queue(workers, &job("q", "known").queue, |_| held, at(100));
            all.into_iter().map(|(_, stays)| stays).collect()
        };
        assert_eq!(waits(&workers, true), [true], "nor does c send those of its queue");
        assert!(waits(&workers, false).is_empty(), "a queue without mails waits for no mail server");
        workers.push(sends(worker("d", Vec::new())));
        assert!(told(&workers, &job("q", "email.send")).is_empty(), "d takes it");
        assert_eq!(waits(&workers, true), [false], "d goes on with them");
    }

    #[test]
    fn attempts_that_fail_before_a_pause_are_told_as_such() {
        let mut sight = Sight::empty();
        sight.workers.push(worker("a", vec![trouble("mail", "no route", Harm::Failing, 50, None)]));
        let need = of_workers(&sight, at(100)).remove(0);
        assert_eq!(need.what, "Mail fails in a");
        assert_eq!(need.why, "Since 00:00:50 UTC, and each try uses an attempt. The next job tries again.");
    }
}
