//! What the ledger says of every queue, also of those that nobody works: asked for when the page is, at most once in
//! [`FRESH`], whoever asks.
//!
//! The fleet's numbers, not this process's: each process shows the same, so take the maximum over processes and not
//! the sum.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
    time::Duration,
};

use backshift_core::{
    QueueCounts, State, Timestamp,
    store::{BreakerRecord, ParkedKind, Store, WorkerRecord},
};
use tokio::time::timeout;

/// How old an answer may be.
pub(super) const FRESH: Duration = Duration::from_secs(10);
/// How long the page waits for the database: whoever reads it gives up after about ten seconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// More breakers are not shown.
const BREAKERS_SHOWN: usize = 200;

const UP: &str = "backshift_store_up";
const JOBS: &str = "backshift_queue_jobs";
const OLDEST: &str = "backshift_queue_oldest_seconds";
const PAUSED: &str = "backshift_queue_paused";
const WORKERS: &str = "backshift_queue_workers";
const PARKED: &str = "backshift_queue_parked_jobs";
const TROUBLED: &str = "backshift_workers_in_trouble";
const BREAKERS: &str = "backshift_breaker_open";

/// Each of them, for the guide.
#[cfg(test)]
pub(super) const NAMES: &[&str] = &[UP, JOBS, OLDEST, PAUSED, WORKERS, PARKED, TROUBLED, BREAKERS];

/// Asks the ledger.
pub(super) async fn lines(store: Arc<dyn Store>) -> String {
    let asked = async { tokio::try_join!(store.counts(), store.workers(), store.parked(), store.breakers()) };
    match timeout(PATIENCE, asked).await {
        Ok(Ok((queues, workers, parked, breakers))) => {
            page(&queues, &workers, Timestamp::now()) + &standstills(&workers, &parked, &breakers)
        }
        // Old numbers would look like a quiet night.
        Ok(Err(_)) | Err(_) => up(0.0),
    }
}

fn up(value: f64) -> String {
    metric(UP, "1 when the ledger answered.", vec![(String::new(), value)])
}

fn page(queues: &[QueueCounts], workers: &[WorkerRecord], now: Timestamp) -> String {
    let each = |value: &dyn Fn(&QueueCounts) -> f64| {
        queues.iter().map(|queue| (label("queue", queue.queue.as_str()), value(queue))).collect()
    };
    let waited = |due: Timestamp| now.duration_since(due).as_secs_f64().max(0.0);
    let on_it =
        |queue: &QueueCounts| workers.iter().filter(|worker| worker.works(queue.queue.as_str())).count();
    [
        up(1.0),
        metric(
            JOBS,
            "Jobs of a queue by state, as the whole fleet has them; counted as far as a page needs.",
            queues.iter().flat_map(by_state).collect(),
        ),
        metric(
            OLDEST,
            "For how long the oldest job that could run has waited.",
            each(&|queue| queue.oldest_due.map_or(0.0, waited)),
        ),
        metric(PAUSED, "1 while a queue is paused.", each(&|queue| f64::from(queue.paused))),
        metric(
            WORKERS,
            "Live workers that take jobs from a queue; 0 with jobs in it: nobody works it.",
            each(&|queue| on_it(queue) as f64),
        ),
    ]
    .concat()
}

/// What keeps work from moving. Names that come from outside are bounded: as many kinds as the ledger lists, and the open
/// breakers first.
fn standstills(workers: &[WorkerRecord], parked: &[ParkedKind], breakers: &[BreakerRecord]) -> String {
    let mut parts: BTreeMap<&str, u32> = BTreeMap::new();
    for worker in workers {
        let of_this: BTreeSet<&str> = worker.troubles.iter().map(|trouble| trouble.part.as_str()).collect();
        of_this.into_iter().for_each(|part| *parts.entry(part).or_default() += 1);
    }
    let waiting = |parked: &ParkedKind| {
        let labels = [label("queue", parked.queue.as_str()), label("kind", parked.kind.as_str())];
        (labels.join(","), parked.jobs as f64)
    };
    let shut = |breaker: &&BreakerRecord| breaker.state == "closed";
    let open = breakers.iter().filter(|breaker| !shut(breaker)).map(|breaker| (breaker, 1.0));
    let all = open.chain(breakers.iter().filter(shut).map(|breaker| (breaker, 0.0))).take(BREAKERS_SHOWN);
    [
        metric(
            PARKED,
            "Jobs of a kind that no worker of their queue knows, counted up to 1000 of each.",
            parked.iter().filter(|parked| !parked.is_known_to(workers)).map(waiting).collect(),
        ),
        metric(
            TROUBLED,
            "Live workers that a part of theirs keeps from their work, by part.",
            parts.into_iter().map(|(part, many)| (label("part", part), f64::from(many))).collect(),
        ),
        metric(
            BREAKERS,
            "1 while a circuit breaker is not closed, whoever opened it.",
            all.map(|(breaker, value)| (label("dependency", &breaker.name), value)).collect(),
        ),
    ]
    .concat()
}

fn by_state(queue: &QueueCounts) -> Vec<(String, f64)> {
    // Completed jobs are counted only as far as a page needs them: a counter says it better.
    const STATES: [State; 5] =
        [State::Available, State::Scheduled, State::Retrying, State::Running, State::Dead];
    let name = queue.queue.as_str();
    STATES
        .map(|state| {
            (
                format!("{},{}", label("queue", name), label("state", state.as_str())),
                queue.count(state) as f64,
            )
        })
        .into()
}

fn metric(name: &str, meaning: &str, samples: Vec<(String, f64)>) -> String {
    let mut lines = format!("# HELP {name} {meaning}\n# TYPE {name} gauge\n");
    for (labels, value) in samples {
        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        let _ = writeln!(lines, "{name}{labels} {value}");
    }
    lines
}

/// A label as the text format writes it.
fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

#[cfg(test)]
mod tests {
    use backshift_core::{
        Kind, QueueName, WorkerName,
        store::{Harm, Trouble},
    };

    use super::*;

    fn queue(name: &str, by_state: &[(State, u64)], oldest_due: Option<Timestamp>) -> QueueCounts {
        QueueCounts {
            queue: QueueName::new(name).unwrap(),
            paused: name == "off",
            by_state: by_state.to_vec(),
            more: Vec::new(),
            oldest_due,
        }
    }

    fn worker(queues: &str) -> WorkerRecord {
        let now = Timestamp::UNIX_EPOCH;
        let name = WorkerName::new("w").unwrap();
        WorkerRecord {
            name,
            queues: queues.into(),
            kinds: Vec::new(),
            started_at: now,
            seen_at: now,
            running: 0,
            troubles: Vec::new(),
        }
    }

    #[test]
    fn every_queue_is_there_also_one_that_nobody_works() {
        let now = Timestamp::UNIX_EPOCH + Duration::from_secs(90);
        let queues = [
            queue("mails", &[(State::Dead, 3), (State::Retrying, 2), (State::Completed, 7)], None),
            queue("off", &[(State::Available, 5)], Some(Timestamp::UNIX_EPOCH)),
        ];
        let lines =
            page(&queues, &[worker("default:4,mails:2"), worker("mails:1"), worker("mails.more:1")], now);
        for line in [
            "backshift_store_up 1",
            "backshift_queue_jobs{queue=\"mails\",state=\"dead\"} 3",
            "backshift_queue_jobs{queue=\"mails\",state=\"retrying\"} 2",
            "backshift_queue_jobs{queue=\"mails\",state=\"available\"} 0",
            "backshift_queue_jobs{queue=\"off\",state=\"available\"} 5",
            "backshift_queue_oldest_seconds{queue=\"off\"} 90",
            "backshift_queue_oldest_seconds{queue=\"mails\"} 0",
            "backshift_queue_paused{queue=\"off\"} 1",
            "backshift_queue_workers{queue=\"mails\"} 2",
            "backshift_queue_workers{queue=\"off\"} 0",
            "# HELP backshift_queue_workers Live",
            "# TYPE backshift_queue_jobs gauge",
        ] {
            assert!(lines.contains(line), "{line} is missing in\n{lines}");
        }
        assert!(!lines.contains("completed"), "{lines}");
    }

    #[test]
    fn what_stands_still_is_counted_by_its_cause() {
        let now = Timestamp::UNIX_EPOCH;
        let trouble = |part: &str| Trouble {
            part: part.into(),
            said: "away".into(),
            harm: Harm::Held,
            since: now,
            next: None,
            queue: None,
            kinds: Vec::new(),
        };
        let workers = [
            WorkerRecord { troubles: vec![trouble("mail"), trouble("mail")], ..worker("a:1") },
            WorkerRecord { troubles: vec![trouble("mail"), trouble("queue a\"")], ..worker("a:1") },
            WorkerRecord { kinds: vec![Kind::new("known").unwrap()], ..worker("a:1") },
        ];
        let (queue, kind) = (QueueName::new("a").unwrap(), Kind::new("no.such").unwrap());
        let soon =
            ParkedKind { queue: queue.clone(), kind: Kind::new("known").unwrap(), jobs: 3, since: now };
        let parked = [ParkedKind { queue, kind, jobs: 7, since: now }, soon];
        let breaker = |name: &str, state: &str| BreakerRecord {
            name: name.into(),
            state: state.into(),
            returning: None,
            failures: 0,
            since: None,
            open_until: None,
            error: None,
        };
        let breakers = [breaker("gravatar", "open"), breaker("maps", "closed")];
        let lines = standstills(&workers, &parked, &breakers);
        for line in [
            "backshift_workers_in_trouble{part=\"mail\"} 2\n",
            "backshift_workers_in_trouble{part=\"queue a\\\"\"} 1\n",
            "backshift_queue_parked_jobs{queue=\"a\",kind=\"no.such\"} 7\n",
            "backshift_breaker_open{dependency=\"gravatar\"} 1\n",
            "backshift_breaker_open{dependency=\"maps\"} 0\n",
        ] {
            assert!(lines.contains(line), "{line} is missing in\n{lines}");
        }
        assert!(!lines.contains("kind=\"known\""), "a worker knows it: {lines}");
        assert!(!standstills(&workers[2..], &[], &[]).contains('{'), "nothing stands still");
    }

    #[test]
    fn a_label_cannot_end_its_line() {
        assert_eq!(label("queue", "a\"b\\c\nd"), "queue=\"a\\\"b\\\\c\\nd\"");
    }
}
