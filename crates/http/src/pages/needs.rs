//! What needs a person, most urgent first, each with the one next step.

use std::{cmp::Reverse, collections::BTreeSet};

use backshift_core::{Kind, QueueCounts, QueueName, State, Timestamp, store::BreakerRecord};
use minijinja::Value;

use super::{
    link, mask,
    need::{Need, Remedy, few, remedy, rest},
    sight::{SAMPLE, Sight},
    troubles,
    view::View,
    words,
};

/// So many dead letters are not looked at one by one.
const MANY: u64 = 10;
/// Characters of a cause.
const CAUSE: usize = 90;

/// Reads the needs off a sight. Of one sort the worst are told one by one, and all others in one line that leads to their list.
pub(super) fn needs(view: &View<'_>, now: Timestamp) -> Vec<Need> {
    let sight = view.sight;
    // What stands still now comes before what is kept.
    let mut needs = troubles::of_workers(sight, now);
    let mut broken: Vec<_> = sight.breakers.iter().filter(|b| b.state != "closed").collect();
    broken.sort_by_key(|b| (b.state != "open", Reverse(b.failures)));
    needs.extend(few(
        broken,
        |b| breaker(b, now),
        |_, n| {
            rest("retrying", words::count(n, "more breaker is not closed", "more breakers are not closed"))
                .to("See breakers", "/workers#breakers")
        },
    ));
    needs.extend(few(
        longest_first(view, now),
        |queue| nobody(queue, view, now),
        |_, n| {
            let what = format!("Nobody works {}", words::count(n, "more queue", "more queues"));
            rest("available", what).to("All queues", "/queues")
        },
    ));
    needs.extend(troubles::unknown_kinds(view, now));
    needs.extend(few(most_dead_first(sight), |queue| letters(queue, sight), other_letters));
    needs.extend((sight.unclear_dead > 0).then(|| unclear(sight)));
    let mut stopped: Vec<_> = sight.queues.iter().filter(|queue| queue.paused).collect();
    stopped.sort_by_key(|queue| Reverse(waiting(queue)));
    needs.extend(few(
        stopped,
        |queue| paused(queue),
        |_, n| {
            let what = words::count(n, "more queue is paused", "more queues are paused");
            rest("scheduled", what).to("All queues", "/queues")
        },
    ));
    needs
}

fn longest_first<'a>(view: &View<'a>, now: Timestamp) -> Vec<&'a QueueCounts> {
    let left = |queue: &&QueueCounts| view.worked.leaves(queue) && late(queue, now).is_some();
    let mut queues: Vec<_> = view.sight.queues.iter().filter(left).collect();
    queues.sort_by_key(|queue| queue.oldest_due);
    queues
}

fn most_dead_first(sight: &Sight) -> Vec<&QueueCounts> {
    let mut queues: Vec<_> = sight.queues.iter().filter(|queue| queue.count(State::Dead) > 0).collect();
    queues.sort_by_key(|queue| Reverse(queue.count(State::Dead)));
    queues
}

fn other_letters(queues: &[&QueueCounts], n: u64) -> Need {
    let dead = queues.iter().map(|queue| queue.count(State::Dead)).sum();
    let more = queues.iter().any(|queue| queue.more.contains(&State::Dead));
    let what = words::count(n, "more queue has dead letters", "more queues have dead letters");
    let why = format!("They hold {}.", words::or_more(dead, more));
    let need = Need { why, ..rest("dead", what) };
    Need { step: ("See them", link::jobs(&[("state", "dead")])), ..need }
}

fn unclear(sight: &Sight) -> Need {
    let many = words::count(sight.unclear_dead, "effect", "effects");
    let more = if sight.unclear >= u64::from(SAMPLE) { " or more" } else { "" };
    Need {
        tone: "ambiguous",
        what: format!("{many}{more} may or may not have happened"),
        said: None,
        why: "The other side fell silent at the worst moment. Look, then run the job again or leave it."
            .into(),
        command: None,
        things: 1,
        step: ("See them", link::jobs(&[("find", "effect:ambiguous")])),
    }
}

/// What a queue needs, first what stands before the rest, each with the command that changes it.
pub(super) fn of_queue(queue: &QueueCounts, view: &View<'_>, now: Timestamp) -> Vec<(Need, Remedy)> {
    let (name, sight) = (&queue.queue, view.sight);
    let stopped = queue.paused.then(|| paused(queue));
    let stopped =
        stopped.map(|need| (need, remedy("To let them run:", format!("backshift queues resume {name}"))));
    let nobody = unattended(queue, view, now);
    let nobody = nobody.map(|need| (need, start(name, sight)));
    let unknown = troubles::unknown_kinds_of(name, view, now);
    let letters = (queue.count(State::Dead) > 0).then(|| letters(queue, sight));
    let see = match queue.count(State::Dead) {
        0..MANY => remedy("To see them:", format!("backshift jobs list --state dead --queue {name}")),
        _ => remedy("To see them by cause:", format!("backshift dead group --queue {name}")),
    };
    let letters = letters.map(|need| (need, see));
    stopped.into_iter().chain(nobody).chain(unknown).chain(letters).collect()
}

fn letters(queue: &QueueCounts, sight: &Sight) -> Need {
    let n = queue.count(State::Dead);
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
    Need {
        tone: "dead",
        what: format!("{}{or_more} in {}{word}", words::count(n, "dead letter", "dead letters"), queue.queue),
        said: one.map(|cause| mask::said(cause, CAUSE)),
        why:
            "Trying again by itself is over. Each job's page says why; running it again gives fresh attempts."
                .into(),
        command: None,
        things: 1,
        step: ("See them", link::jobs(&[("state", "dead"), ("find", &format!("queue:{}", queue.queue))])),
    }
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
        things: 1,
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
            _ => format!("{} until somebody resumes it.", wait(queue)),
        },
        command: Some(remedy("To resume it:", format!("backshift queues resume {}", queue.queue))),
        things: 1,
        step: ("Queues", Value::from_safe_string("/queues".to_owned())),
    }
}

/// Since when something has been due in this queue, when that is no moment ago.
fn late(queue: &QueueCounts, now: Timestamp) -> Option<Timestamp> {
    queue.oldest_due.filter(|due| now.as_second() - due.as_second() > 10)
}

pub(super) fn unattended(queue: &QueueCounts, view: &View<'_>, now: Timestamp) -> Option<Need> {
    let left = view.worked.leaves(queue) && late(queue, now).is_some();
    left.then(|| nobody(queue, view, now))
}

fn nobody(queue: &QueueCounts, view: &View<'_>, now: Timestamp) -> Need {
    let waits = queue.count(State::Available);
    let more = if queue.more.contains(&State::Available) { " or more" } else { "" };
    let since = words::due(late(queue, now).unwrap_or(now), now);
    let noun = if waits == 1 && more.is_empty() { "job waits" } else { "jobs wait" };
    Need {
        tone: "available",
        what: format!("Nobody works {}", queue.queue),
        said: None,
        why: format!("{}{more} {noun} since {since}.", words::number(waits)),
        command: Some(start(&queue.queue, view.sight)),
        things: 1,
        step: ("See jobs", link::jobs_of_queue(&queue.queue)),
    }
}

/// What has the jobs worked that wait in a queue which nobody works.
pub(super) fn start(queue: &QueueName, sight: &Sight) -> Remedy {
    let aside = sight.parked.iter().filter(|parked| parked.queue == *queue).map(|parked| &parked.kind);
    let next = sight.next_kinds.get(queue).map(Vec::as_slice).unwrap_or_default();
    let kinds: BTreeSet<&Kind> = next.iter().chain(aside).collect();
    sight.own.start(queue, &kinds.into_iter().cloned().collect::<Vec<_>>())
}

/// `1 job waits`, `400 or more jobs wait`.
fn wait(queue: &QueueCounts) -> String {
    match (waiting(queue), waits_more(queue)) {
        (1, false) => "1 job waits".to_owned(),
        (n, more) => format!("{} jobs wait", words::or_more(n, more)),
    }
}

/// Whether more wait than were counted.
pub(super) fn waits_more(queue: &QueueCounts) -> bool {
    const WAIT: [State; 3] = [State::Scheduled, State::Available, State::Retrying];
    queue.more.iter().any(|state| WAIT.contains(state))
}

/// Jobs that may run now or later.
pub(super) fn waiting(queue: &QueueCounts) -> u64 {
    queue.count(State::Scheduled) + queue.count(State::Available) + queue.count(State::Retrying)
}

#[cfg(test)]
mod tests {
    use super::*;
    use backshift_core::{WorkerName, store::WorkerRecord};

    use super::super::{need::SHOWN, own_kinds::OwnKinds};

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
        let (lead, command) = needs(&View::of(&sight), now)[0].command.clone().unwrap();
        assert!(lead.starts_with("The program that handles k must run"), "{lead}");
        assert_eq!(command, "backshift jobs list --queue q --state available");
        sight.own = OwnKinds::new([kind], []);
        assert_eq!(
            needs(&View::of(&sight), now)[0].command.as_ref().unwrap().1,
            "backshift worker --queue q"
        );
        sight.workers.push(WorkerRecord {
            name: WorkerName::new("w").unwrap(),
            queues: "p:1,q:10".into(),
            kinds: Vec::new(),
            started_at: now,
            seen_at: now,
            running: 0,
            troubles: Vec::new(),
        });
        assert!(needs(&View::of(&sight), now).is_empty());
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
            needs(&View::of(&some), now).iter().map(|n| n.tone).collect::<Vec<_>>(),
            ["retrying", "available", "dead", "ambiguous", "scheduled"]
        );
        assert!(needs(&View::of(&sight(&[queue(State::Completed, 9, false)])), now).is_empty());
    }

    #[test]
    fn of_many_of_a_sort_the_worst_are_told_and_how_many_more_there_are() {
        let now = Timestamp::from_second(100).unwrap();
        let many = |state, paused, n: u64| -> Vec<QueueCounts> {
            let named = |i| QueueCounts {
                queue: QueueName::new(format!("{}-{i:03}", state as u8)).unwrap(),
                oldest_due: Timestamp::from_second(i64::try_from(80 - i % 50).unwrap()).ok(),
                ..queue(state, i + 1, paused)
            };
            (0..n).map(named).collect()
        };
        let mut all = many(State::Dead, false, 500);
        all.extend(many(State::Available, false, 500));
        all.extend(many(State::Scheduled, true, 6));
        let mut some = sight(&all);
        some.breakers = vec![shut("open"); 40];
        let needs = needs(&View::of(&some), now);
        let told: Vec<&str> = needs.iter().map(|need| need.what.as_str()).collect();
        assert_eq!(
            needs.len(),
            3 * (SHOWN + 1) + 6,
            "six paused queues are as many lines as five and one: {told:?}"
        );
        assert_eq!(told[SHOWN], "35 more breakers are not closed");
        assert_eq!(told[SHOWN + 1], "Nobody works 1-049", "the longest wait first");
        assert_eq!(told[2 * SHOWN + 1], "Nobody works 495 more queues");
        assert_eq!(
            told[2 * SHOWN + 2],
            format!("500 dead letters in {}-499", State::Dead as u8),
            "the most first"
        );
        let rest = &needs[3 * SHOWN + 2];
        assert_eq!(rest.what, "495 more queues have dead letters");
        assert_eq!(
            (rest.why.as_str(), rest.step.1.to_string().as_str()),
            ("They hold 122,760.", "/jobs?state=dead")
        );
    }

    #[test]
    fn a_count_that_ended_is_told_as_such() {
        let now = Timestamp::from_second(100).unwrap();
        let mut queues = [queue(State::Available, 400, false), queue(State::Scheduled, 1, true)];
        queues[0].more = vec![State::Available];
        let needs = needs(&View::of(&sight(&queues)), now);
        let why: Vec<&str> = needs.iter().map(|need| need.why.as_str()).collect();
        assert!(why[0].starts_with("400 or more jobs wait since"), "{why:?}");
        assert_eq!(why[1], "1 job waits until somebody resumes it.");
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
            let of_queue = of_queue(&queue, &View::of(&sight(std::slice::from_ref(&queue))), now);
            assert_eq!(of_queue[0].1.1, format!("backshift {command}"));
        }
    }

    #[test]
    fn one_cause_is_said_only_when_it_is_one() {
        let now = Timestamp::from_second(5).unwrap();
        let mut some = sight(&[queue(State::Dead, 2, false)]);
        let name = QueueName::new("q").unwrap();
        some.causes.insert(name.clone(), vec!["503 anna@example.com".into(), "503 anna@example.com".into()]);
        let need = &needs(&View::of(&some), now)[0];
        assert_eq!(
            (need.what.as_str(), need.said.as_deref()),
            ("2 dead letters in q with one cause", Some("503 an***@example.com"))
        );
        some.causes.insert(name, vec!["a".into(), "b".into()]);
        assert_eq!(needs(&View::of(&some), now)[0].said, None);
    }
}
