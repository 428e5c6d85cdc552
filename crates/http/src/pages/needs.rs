//! What needs a person, most urgent first, each with the one next step.

use std::collections::BTreeSet;

use backshift_core::{Kind, QueueCounts, QueueName, State, Timestamp, store::BreakerRecord};
use minijinja::Value;

use super::{
    link, mask,
    need::{Need, Remedy, is_unattended, remedy},
    sight::{SAMPLE, Sight},
    troubles, words,
};

/// So many dead letters are not looked at one by one.
const MANY: u64 = 10;
/// Characters of a cause.
const CAUSE: usize = 90;

/// Reads the needs off a sight.
pub(super) fn needs(sight: &Sight, now: Timestamp) -> Vec<Need> {
    // What stands still now comes before what is kept.
    let mut needs = troubles::of_workers(sight, now);
    needs.extend(sight.breakers.iter().filter(|b| b.state != "closed").map(|b| breaker(b, now)));
    needs.extend(sight.queues.iter().filter_map(|queue| unattended(queue, sight, now)));
    needs.extend(troubles::unknown_kinds(sight, now));
    needs.extend(sight.queues.iter().filter_map(|queue| dead(queue, sight)));
    if sight.unclear_dead > 0 {
        let many = words::count(sight.unclear_dead, "effect", "effects");
        let more = if sight.unclear >= u64::from(SAMPLE) { " or more" } else { "" };
        needs.push(Need {
            tone: "ambiguous",
            what: format!("{many}{more} may or may not have happened"),
            said: None,
            why: "The other side fell silent at the worst moment. Look, then run the job again or leave it."
                .into(),
            command: None,
            step: ("See them", link::jobs(&[("find", "effect:ambiguous")])),
        });
    }
    needs.extend(sight.queues.iter().filter(|q| q.paused).map(paused));
    needs
}

/// What a queue needs, first what stands before the rest, each with the command that changes it.
pub(super) fn of_queue(queue: &QueueCounts, sight: &Sight, now: Timestamp) -> Vec<(Need, Remedy)> {
    let name = &queue.queue;
    let stopped = queue.paused.then(|| paused(queue));
    let stopped =
        stopped.map(|need| (need, remedy("To let them run:", format!("backshift queues resume {name}"))));
    let nobody = unattended(queue, sight, now);
    let nobody = nobody.map(|need| (need, start(name, sight)));
    let unknown = troubles::unknown_kinds_of(name, sight, now);
    let letters = dead(queue, sight);
    let see = match queue.count(State::Dead) {
        0..MANY => remedy("To see them:", format!("backshift jobs list --state dead --queue {name}")),
        _ => remedy("To see them by cause:", format!("backshift dead group --queue {name}")),
    };
    let letters = letters.map(|need| (need, see));
    stopped.into_iter().chain(nobody).chain(unknown).chain(letters).collect()
}

fn dead(queue: &QueueCounts, sight: &Sight) -> Option<Need> {
    let n = queue.count(State::Dead);
    if n == 0 {
        return None;
    }
    let causes = sight.causes.get(&queue.queue).map(Vec::as_slice).unwrap_or_default();
    let one = causes.first().filter(|first| !first.is_empty() && causes.iter().all(|cause| cause == *first));
    let or_more = if queue.more.contains(&State::Dead) { " or more" } else { "" };
    let all = causes.len() as u64 == n;
    let word = match (one, n, all) {
        (None, ..) => "",
        (Some(_), 1, _) => ", which said",
        (Some(_), _, true) => " with one cause",
        (Some(_), _, false) => ", the newest with one cause",
    };
    Some(Need {
        tone: "dead",
        what: format!("{}{or_more} in {}{word}", words::count(n, "dead letter", "dead letters"), queue.queue),
        said: one.map(|cause| mask::said(cause, CAUSE)),
        why:
            "Trying again by itself is over. Each job's page says why; running it again gives fresh attempts."
                .into(),
        command: None,
        step: ("See them", link::jobs(&[("state", "dead"), ("find", &format!("queue:{}", queue.queue))])),
    })
}

pub(super) fn breaker(breaker: &BreakerRecord, now: Timestamp) -> Need {
    let next = match (breaker.state.as_str(), breaker.open_until) {
        // Exactly one job has it; the others are held until it ends.
        ("half-open", _) => "A probe is under way.".to_owned(),
        ("returning", _) => "It answers again, and calls come back step by step.".to_owned(),
        (_, Some(at)) if at > now => format!("Next probe at {}.", words::due(at, now)),
        _ => "The next job probes.".to_owned(),
    };
    let since = breaker.since.map_or(String::new(), |at| format!(" since {}", words::due(at, now)));
    Need {
        tone: "retrying",
        what: format!(
            "{} does not answer well: its breaker is {}",
            mask::said(&breaker.name, CAUSE),
            breaker.state
        ),
        said: breaker.error.as_ref().map(|error| mask::said(error, CAUSE)),
        why: format!("Its jobs are held{since}, which uses no attempt. {next}"),
        command: None,
        step: ("See breaker", Value::from_safe_string("/workers#breakers".to_owned())),
    }
}

fn paused(queue: &QueueCounts) -> Need {
    Need {
        tone: "scheduled",
        what: format!("{} is paused", queue.queue),
        said: None,
        why: match waiting(queue) {
            0 => "Nothing waits in it; what comes will, until somebody resumes it.".to_owned(),
            n => format!("{} until somebody resumes it.", words::count(n, "job waits", "jobs wait")),
        },
        command: Some(remedy("To resume it:", format!("backshift queues resume {}", queue.queue))),
        step: ("Queues", Value::from_safe_string("/queues".to_owned())),
    }
}

pub(super) fn unattended(queue: &QueueCounts, sight: &Sight, now: Timestamp) -> Option<Need> {
    let since = queue.oldest_due.filter(|due| now.as_second() - due.as_second() > 10)?;
    let waits = queue.count(State::Available);
    is_unattended(queue, &sight.workers).then(|| Need {
        tone: "available",
        what: format!("Nobody works {}", queue.queue),
        said: None,
        why: format!("{} since {}.", words::count(waits, "job waits", "jobs wait"), words::due(since, now)),
        command: Some(start(&queue.queue, sight)),
        step: ("See jobs", link::jobs_of_queue(&queue.queue)),
    })
}

/// What has the jobs worked that wait in a queue which nobody works.
pub(super) fn start(queue: &QueueName, sight: &Sight) -> Remedy {
    let aside = sight.parked.iter().filter(|parked| parked.queue == *queue).map(|parked| &parked.kind);
    let next = sight.next_kinds.get(queue).map(Vec::as_slice).unwrap_or_default();
    let kinds: BTreeSet<&Kind> = next.iter().chain(aside).collect();
    sight.own.start(queue, &kinds.into_iter().cloned().collect::<Vec<_>>())
}

/// Jobs that may run now or later.
pub(super) fn waiting(queue: &QueueCounts) -> u64 {
    queue.count(State::Scheduled) + queue.count(State::Available) + queue.count(State::Retrying)
}

#[cfg(test)]
mod tests {
    use super::*;
    use backshift_core::{WorkerName, store::WorkerRecord};

    use super::super::own_kinds::OwnKinds;

    fn queue(state: State, n: u64, paused: bool) -> QueueCounts {
        QueueCounts {
            queue: QueueName::new("q").unwrap(),
            paused,
            by_state: vec![(state, n)],
            more: Vec::new(),
            oldest_due: Some(Timestamp::from_second(0).unwrap()),
        }
    }

    fn sight(queues: &[QueueCounts]) -> Sight {
        let mut sight = Sight::empty();
        sight.queues = queues.to_vec();
        sight
    }

    #[test]
    fn a_queue_without_a_worker_needs_one() {
        let now = Timestamp::from_second(100).unwrap();
        let mut sight = sight(&[queue(State::Available, 3, false)]);
        let kind = Kind::new("k").unwrap();
        sight.next_kinds.insert(QueueName::new("q").unwrap(), vec![kind.clone()]);
        let (lead, command) = needs(&sight, now)[0].command.clone().unwrap();
        assert!(lead.starts_with("The program that handles k must run"), "{lead}");
        assert_eq!(command, "backshift jobs list --queue q --state available");
        sight.own = OwnKinds::new([kind], []);
        assert_eq!(needs(&sight, now)[0].command.as_ref().unwrap().1, "backshift worker --queue q");
        sight.workers.push(WorkerRecord {
            name: WorkerName::new("w").unwrap(),
            queues: "p:1,q:10".into(),
            kinds: Vec::new(),
            started_at: now,
            seen_at: now,
            running: 0,
            troubles: Vec::new(),
        });
        assert!(needs(&sight, now).is_empty());
    }

    #[test]
    fn what_stands_still_comes_before_what_is_kept_and_quiet_is_quiet() {
        let now = Timestamp::from_second(100).unwrap();
        let unattended =
            QueueCounts { queue: QueueName::new("p").unwrap(), ..queue(State::Available, 1, false) };
        let mut some = sight(&[queue(State::Available, 1, true), queue(State::Dead, 312, false), unattended]);
        some.breakers = vec![shut("open")];
        (some.unclear, some.unclear_dead) = (3, 2);
        assert_eq!(
            needs(&some, now).iter().map(|n| n.tone).collect::<Vec<_>>(),
            ["retrying", "available", "dead", "ambiguous", "scheduled"]
        );
        assert!(needs(&sight(&[queue(State::Completed, 9, false)]), now).is_empty());
    }

    fn shut(state: &str) -> BreakerRecord {
        BreakerRecord {
            name: "gravatar".into(),
            state: state.into(),
            returning: None,
            failures: 2,
            since: None,
            open_until: None,
            error: None,
        }
    }

    #[test]
    fn a_breaker_says_who_probes_it() {
        let now = Timestamp::from_second(100).unwrap();
        let probe = BreakerRecord { open_until: Timestamp::from_second(130).ok(), ..shut("open") };
        for (breaker_, said) in [
            (shut("open"), "The next job probes."),
            (probe, "Next probe at 00:02:10 UTC."),
            (shut("half-open"), "A probe is under way."),
            (shut("returning"), "It answers again, and calls come back step by step."),
        ] {
            let why = breaker(&breaker_, now).why;
            assert!(why.ends_with(said), "{}: {why}", breaker_.state);
        }
    }

    #[test]
    fn many_dead_letters_are_grouped_and_few_are_listed() {
        let now = Timestamp::from_second(5).unwrap();
        for (n, command) in [(9, "jobs list --state dead --queue q"), (10, "dead group --queue q")] {
            let queue = queue(State::Dead, n, false);
            let of_queue = of_queue(&queue, &sight(std::slice::from_ref(&queue)), now);
            assert_eq!(of_queue[0].1.1, format!("backshift {command}"));
        }
    }

    #[test]
    fn one_cause_is_said_only_when_it_is_one() {
        let now = Timestamp::from_second(5).unwrap();
        let mut some = sight(&[queue(State::Dead, 2, false)]);
        let name = QueueName::new("q").unwrap();
        some.causes.insert(name.clone(), vec!["503 anna@example.com".into(), "503 anna@example.com".into()]);
        let need = &needs(&some, now)[0];
        assert_eq!(
            (need.what.as_str(), need.said.as_deref()),
            ("2 dead letters in q with one cause", Some("503 an***@example.com"))
        );
        some.causes.insert(name, vec!["a".into(), "b".into()]);
        assert_eq!(needs(&some, now)[0].said, None);
    }
}
