//! What keeps this worker from its work, as it tells the others: the same as its readiness says, with the time since when.
//!
//! What is gone at the next look is not told: a call that failed once, a consumer that is being made.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use backshift_core::{
    Timestamp,
    store::{Harm, Trouble, Watched},
};

use crate::{engine::Engine, pool::Pool, readiness, watched::Asked};

/// A next try that moves by less is not news.
const NO_NEWS: Duration = Duration::from_secs(1);

/// The troubles of the last look.
pub(crate) struct Troubles {
    watched: Vec<Asked>,
    since: BTreeMap<String, Timestamp>,
}

impl Troubles {
    pub(crate) fn of(watched: &[Arc<dyn Watched>]) -> Self {
        let watched = watched.iter().enumerate().map(|(place, one)| Asked::new(place, Arc::clone(one)));
        Self { watched: watched.collect(), since: BTreeMap::new() }
    }

    /// Those that stood at the last look too.
    pub(crate) fn look(&mut self, engine: &Engine, pools: &[Arc<Pool>], now: Timestamp) -> Vec<Trouble> {
        let own = readiness::problems(engine, pools).into_iter();
        let of_pool = |part: &str| {
            let mut queues = pools.iter().map(|pool| &pool.queue);
            queues.find(|queue| Trouble::part_of(queue) == part).cloned()
        };
        let own = own.map(|(part, said)| Trouble {
            queue: of_pool(&part),
            part,
            said,
            harm: Harm::Unready,
            since: now,
            next: None,
            kinds: Vec::new(),
        });
        let watched = self.watched.iter_mut().filter_map(|one| one.look(now));
        let mut all: Vec<Trouble> = watched.chain(own).collect();
        // A broker and its consumer may both speak of one queue.
        let mut parts = BTreeSet::new();
        all.retain(|trouble| parts.insert(trouble.part.clone()));
        self.lasting(all, now)
    }

    fn lasting(&mut self, mut now_seen: Vec<Trouble>, now: Timestamp) -> Vec<Trouble> {
        let before = std::mem::take(&mut self.since);
        for trouble in &mut now_seen {
            trouble.since = before.get(&trouble.part).copied().unwrap_or(now);
            self.since.insert(trouble.part.clone(), trouble.since);
        }
        now_seen.retain(|trouble| before.contains_key(&trouble.part));
        now_seen
    }
}

/// What the others know.
#[derive(Default)]
pub(crate) struct Told(Option<Vec<Trouble>>);

impl Told {
    /// Whether the others have to be told: something changed, or the last call failed, and nobody knows what it wrote.
    pub(crate) fn is_news(&self, now: &[Trouble]) -> bool {
        self.0.as_ref().is_none_or(|told| is_news(told, now))
    }

    /// What came of telling them.
    pub(crate) fn answered<T, E>(&mut self, now: Vec<Trouble>, answer: &Result<T, E>) {
        self.0 = answer.is_ok().then_some(now);
    }
}

/// Whether something has changed since the others were told.
fn is_news(told: &[Trouble], now: &[Trouble]) -> bool {
    let close = |a: Timestamp, b: Timestamp| a.duration_since(b).unsigned_abs() < NO_NEWS;
    let same = |(a, b): (&Trouble, &Trouble)| {
        let next = match (a.next, b.next) {
            (Some(a), Some(b)) => close(a, b),
            (a, b) => a == b,
        };
        next && a.part == b.part
            && a.said == b.said
            && a.harm == b.harm
            && a.kinds == b.kinds
            && a.since == b.since
    };
    told.len() != now.len() || !told.iter().zip(now).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(part: &str, next: Option<i64>) -> Trouble {
        let at = Timestamp::UNIX_EPOCH;
        let next = next.map(|ms| Timestamp::from_millisecond(ms).unwrap());
        Trouble {
            part: part.into(),
            said: "away".into(),
            harm: Harm::Unready,
            since: at,
            next,
            queue: None,
            kinds: Vec::new(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_trouble_is_told_when_it_lasts_and_since_when_it_stands() {
        let mut troubles = Troubles::of(&[]);
        let parts = |found: Vec<Trouble>| -> Vec<(String, i64)> {
            found.into_iter().map(|trouble| (trouble.part, trouble.since.as_second())).collect()
        };
        assert_eq!(parts(troubles.lasting(vec![trouble("a", None)], at(1))), []);
        let both = || vec![trouble("a", None), trouble("b", None)];
        assert_eq!(parts(troubles.lasting(both(), at(2))), [("a".to_owned(), 1)]);
        assert_eq!(parts(troubles.lasting(both(), at(3))), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert_eq!(parts(troubles.lasting(Vec::new(), at(4))), []);
        assert_eq!(parts(troubles.lasting(both(), at(5))), [], "it began anew");
    }

    #[test]
    fn after_an_answer_that_never_came_the_others_are_told_anew() {
        let mut told = Told::default();
        assert!(told.is_news(&[]), "nobody was told anything");
        told.answered(Vec::new(), &Ok::<_, ()>(()));
        assert!(!told.is_news(&[]));
        told.answered(vec![trouble("mail", None)], &Err::<(), _>("it took too long"));
        assert!(told.is_news(&[]), "it may have been written");
        assert!(told.is_news(&[trouble("mail", None)]), "and it may not");
    }

    #[test]
    fn a_probe_that_comes_nearer_is_no_news_and_another_one_is() {
        let told = [trouble("mail", Some(60_000))];
        assert!(!is_news(&told, &[trouble("mail", Some(60_400))]));
        assert!(is_news(&told, &[trouble("mail", Some(120_000))]));
        assert!(is_news(&told, &[trouble("mail", None)]));
        assert!(is_news(&told, &[]) && is_news(&[], &told) && !is_news(&[], &[]));
        assert!(is_news(&told, &[trouble("queue q", Some(60_000))]));
    }
}
