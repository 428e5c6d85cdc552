//! What needs a person, most urgent first, each with the one next step.

use backshift_core::{
    QueueCounts, State, Timestamp,
    store::{BreakerRecord, WorkerRecord},
};
use serde::Serialize;

use super::words;

/// One thing that needs a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Need {
    /// The state whose colour it has.
    pub(super) tone: &'static str,
    /// What is the matter.
    pub(super) what: String,
    /// Why, and what follows.
    pub(super) why: String,
    /// The next step; empty = none.
    pub(super) step: &'static str,
    /// Where it is; empty = nowhere.
    pub(super) href: String,
}

/// Reads the needs off the figures.
pub(super) fn needs(
    queues: &[QueueCounts],
    breakers: &[BreakerRecord],
    workers: &[WorkerRecord],
    ambiguous: usize,
    now: Timestamp,
) -> Vec<Need> {
    let mut needs: Vec<Need> = queues.iter().filter_map(dead).collect();
    if ambiguous > 0 {
        needs.push(Need {
            tone: "ambiguous",
            what: format!(
                "{} may or may not have happened",
                words::count(ambiguous as u64, "effect", "effects")
            ),
            why: "The other side fell silent at the worst moment. Look, then run the job again or leave it."
                .into(),
            step: "See them",
            href: "/jobs?find=effect:ambiguous".into(),
        });
    }
    needs.extend(breakers.iter().filter(|b| b.state != "closed").map(|b| breaker(b, now)));
    needs.extend(queues.iter().filter(|q| q.paused).map(paused));
    needs.extend(queues.iter().filter_map(|queue| unattended(queue, workers, now)));
    needs
}

fn dead(queue: &QueueCounts) -> Option<Need> {
    let n = queue.count(State::Dead);
    (n > 0).then(|| Need {
        tone: "dead",
        what: format!("{} in {}", words::count(n, "dead letter", "dead letters"), queue.queue),
        why: "Trying again by itself is over. The last error says why; running again gives fresh attempts."
            .into(),
        step: "See them",
        href: "/jobs?state=dead".into(),
    })
}

fn breaker(breaker: &BreakerRecord, now: Timestamp) -> Need {
    let next = breaker.open_until.map_or("soon".to_owned(), |at| words::relative(at, now));
    Need {
        tone: "retrying",
        what: format!("{} does not answer well: its breaker is {}", breaker.name, breaker.state),
        why: format!("Its jobs wait without using attempts. Next probe {next}."),
        step: "See breaker",
        href: "/workers".into(),
    }
}

fn paused(queue: &QueueCounts) -> Need {
    Need {
        tone: "scheduled",
        what: format!("{} is paused", queue.queue),
        why: format!("{} until somebody resumes it.", words::count(waiting(queue), "job waits", "jobs wait")),
        step: "Queues",
        href: "/queues".into(),
    }
}

fn unattended(queue: &QueueCounts, workers: &[WorkerRecord], now: Timestamp) -> Option<Need> {
    let works =
        |w: &WorkerRecord| w.queues.split(',').any(|q| q.split(':').next() == Some(queue.queue.as_str()));
    let since = queue.oldest_due.filter(|due| now.as_second() - due.as_second() > 10)?;
    let stuck = queue.count(State::Available) > 0 && !queue.paused && !workers.iter().any(works);
    stuck.then(|| Need {
        tone: "available",
        what: format!("Nobody works {}", queue.queue),
        why: format!(
            "{} since {}. Start: backshift worker --queue {}",
            words::count(queue.count(State::Available), "job waits", "jobs wait"),
            words::clock(since),
            queue.queue
        ),
        step: "Workers",
        href: "/workers".into(),
    })
}

/// Jobs that may run now or later.
pub(super) fn waiting(queue: &QueueCounts) -> u64 {
    queue.count(State::Scheduled) + queue.count(State::Available) + queue.count(State::Retrying)
}

#[cfg(test)]
mod tests {
    use super::*;
    use backshift_core::{QueueName, WorkerName};

    fn queue(state: State, n: u64, paused: bool) -> QueueCounts {
        QueueCounts {
            queue: QueueName::new("q").unwrap(),
            paused,
            by_state: vec![(state, n)],
            oldest_due: Some(Timestamp::from_second(0).unwrap()),
        }
    }

    #[test]
    fn a_queue_without_a_worker_needs_one() {
        let now = Timestamp::from_second(100).unwrap();
        let queues = [queue(State::Available, 3, false)];
        assert!(needs(&queues, &[], &[], 0, now)[0].why.contains("backshift worker --queue q"));
        let worker = WorkerRecord {
            name: WorkerName::new("w").unwrap(),
            queues: "p:1,q:10".into(),
            started_at: now,
            seen_at: now,
            running: 0,
        };
        assert!(needs(&queues, &[], &[worker], 0, now).is_empty());
    }

    #[test]
    fn dead_letters_come_first_and_quiet_is_quiet() {
        let now = Timestamp::from_second(5).unwrap();
        let queues = [queue(State::Available, 1, true), queue(State::Dead, 312, false)];
        let needs_now = needs(&queues, &[], &[], 2, now);
        assert_eq!(needs_now.iter().map(|n| n.tone).collect::<Vec<_>>(), ["dead", "ambiguous", "scheduled"]);
        assert!(needs(&[queue(State::Completed, 9, false)], &[], &[], 0, now).is_empty());
    }
}
