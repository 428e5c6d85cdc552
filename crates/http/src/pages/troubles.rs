//! What stands still in the fleet: workers that are not ready, transports that are paused, kinds that nobody knows.
//!
//! A worker speaks of itself through the store, so these are its words of at most a few seconds ago. One cause in many
//! workers or queues is one line.

use std::collections::BTreeMap;

use backshift_core::{
    Timestamp,
    store::{ParkedKind, Trouble, WorkerRecord},
};
use minijinja::Value;

use super::{
    link, mask,
    needs::{Need, attended},
    sight::Sight,
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
    let mut causes: BTreeMap<(bool, &str), Shared<'_>> = BTreeMap::new();
    for worker in &sight.workers {
        for trouble in &worker.troubles {
            let shared = causes.entry((!trouble.paused, trouble.said.as_str())).or_insert_with(|| Shared {
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
    causes.values().take(LINES).map(|shared| need(shared, now)).collect()
}

fn need(shared: &Shared<'_>, now: Timestamp) -> Need {
    let many = shared.workers.len() as u64;
    let (who, href) = match shared.workers.as_slice() {
        [one] => (one.name.to_string(), format!("/workers#{}", link::encode(one.name.as_str()))),
        _ => (words::count(many, "worker", "workers"), "/workers".to_owned()),
    };
    let part = mask::said(shared.parts.first().copied().unwrap_or_default(), CAUSE);
    let parts = match shared.parts.len() {
        0 | 1 => part,
        n => format!("{part} and {} more", words::number(n as u64 - 1)),
    };
    let what = match (shared.first.paused, many) {
        (true, _) => format!("{} is paused in {who}", words::capital(&parts)),
        (false, 1) => format!("{who} is not ready: {parts}"),
        (false, _) => format!("{who} are not ready: {parts}"),
    };
    let since = words::due(shared.since, now);
    let why = match (shared.first.paused, shared.next) {
        (true, Some(at)) => format!(
            "Jobs are held since {since}, which uses no attempt. Next probe at {}.",
            words::due(at, now)
        ),
        (true, None) => format!("Jobs are held since {since}, which uses no attempt. The next job probes."),
        (false, Some(at)) => format!("Since {since}. It tries again at {}.", words::due(at, now)),
        (false, None) => format!("Since {since}. It tries again by itself."),
    };
    Need {
        tone: if shared.first.paused { "retrying" } else { "dead" },
        what,
        said: Some(mask::said(&shared.first.said, CAUSE)),
        why,
        command: Some(("To try its servers:", "backshift doctor".to_owned())),
        step: (if many == 1 { "See worker" } else { "See workers" }, Value::from_safe_string(href)),
    }
}

/// Jobs of kinds that none of those who work their queue knows. A queue that nobody works is another need.
pub(super) fn unknown_kinds(sight: &Sight, now: Timestamp) -> Vec<Need> {
    let knows = |parked: &ParkedKind| {
        let (queue, kind) = (parked.queue.as_str(), &parked.kind);
        sight.workers.iter().any(|worker| worker.kinds.contains(kind) && worker.works(queue))
    };
    let stranded = |parked: &&ParkedKind| attended(&sight.workers, parked.queue.as_str()) && !knows(parked);
    sight.parked.iter().filter(stranded).take(LINES).map(|parked| unknown(parked, now)).collect()
}

fn unknown(parked: &ParkedKind, now: Timestamp) -> Need {
    let ParkedKind { queue, kind, jobs, since } = parked;
    let more = if *jobs >= u64::from(ParkedKind::COUNTED) { " or more" } else { "" };
    let many = format!("{}{more} {}", words::number(*jobs), if *jobs == 1 { "job is" } else { "jobs are" });
    Need {
        tone: "retrying",
        what: format!("No worker of {queue} knows the kind {kind}"),
        said: None,
        why: format!(
            "{many} parked since {}, which uses no attempt. A worker that knows the kind takes them at once.",
            words::due(*since, now)
        ),
        command: Some((
            "If the name is wrong:",
            format!("backshift jobs list --queue {queue} --kind {kind}"),
        )),
        step: ("See jobs", link::jobs(&[("find", &format!("queue:{queue} kind:{kind}"))])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backshift_core::{Kind, QueueName, WorkerName};

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

    fn trouble(part: &str, said: &str, paused: bool, since: i64, next: Option<i64>) -> Trouble {
        Trouble { part: part.into(), said: said.into(), paused, since: at(since), next: next.map(at) }
    }

    #[test]
    fn one_cause_in_many_workers_and_queues_is_one_line() {
        let mut sight = Sight::empty();
        let away = |queue: &str| trouble(queue, "connection refused", false, 50, None);
        let mail = |since| trouble("mail", "535 5.7.8 anna@example.com", true, since, Some(130));
        sight.workers.push(worker("a", vec![mail(90), away("queue x"), away("queue y")]));
        sight.workers.push(worker("b", vec![mail(80), away("queue x")]));
        sight.workers.push(worker("c", Vec::new()));
        let needs = of_workers(&sight, at(100));
        let told: Vec<_> = needs.iter().map(|need| (need.what.as_str(), need.why.as_str())).collect();
        assert_eq!(
            told,
            [
                (
                    "Mail is paused in 2 workers",
                    "Jobs are held since 00:01:20 UTC, which uses no attempt. Next probe at 00:02:10 UTC."
                ),
                (
                    "2 workers are not ready: queue x and 1 more",
                    "Since 00:00:50 UTC. It tries again by itself."
                ),
            ]
        );
        assert_eq!(needs[0].said.as_deref(), Some("535 5.7.8 an***@example.com"));
        sight.workers.truncate(1);
        assert_eq!(of_workers(&sight, at(100))[1].what, "a is not ready: queue x and 1 more");
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
        let needs = unknown_kinds(&sight, at(100));
        assert_eq!(needs.len(), 1, "{needs:?}");
        assert_eq!(needs[0].what, "No worker of q knows the kind strange");
        assert!(needs[0].why.starts_with("1,000 or more jobs are parked since 00:00:10 UTC"), "{needs:?}");
    }
}
