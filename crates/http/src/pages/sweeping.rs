//! Which sweeps this process goes on with, and why it stopped with others. Bounded in both.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use backshift_core::{StoreError, Timestamp};
use uuid::Uuid;

/// So many go on at once in one process.
const MOST: usize = 8;
/// Problems that are remembered.
const REMEMBERED: usize = 100;

/// The sweeps of this process.
#[derive(Default)]
pub(super) struct Sweeping(Mutex<Known>);

#[derive(Default)]
struct Known {
    at_work: BTreeSet<Uuid>,
    problems: BTreeMap<Uuid, Problem>,
}

/// Why this process stopped, and when somebody had last worked on the sweep by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) said: String,
    /// `None` = the store could not say.
    pub(super) touched_at: Option<Timestamp>,
}

impl Known {
    fn room(&self) -> Result<(), StoreError> {
        match self.at_work.len() {
            ..MOST => Ok(()),
            _ => Err(StoreError::Rejected(format!(
                "{MOST} others are under way here. Nothing was changed: come back when one of them has ended."
            ))),
        }
    }
}

impl Sweeping {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process goes on with it.
    pub(super) fn is_at_work(&self, id: Uuid) -> bool {
        self.known().at_work.contains(&id)
    }

    /// Why this process stopped, as long as nobody worked on it since: a terminal may have gone on, or ended it.
    pub(super) fn problem(&self, id: Uuid, touched_at: Timestamp) -> Option<String> {
        let known = self.known();
        let problem = known.problems.get(&id)?;
        problem.touched_at.is_none_or(|then| then == touched_at).then(|| problem.said.clone())
    }

    /// Whether there is a place for one more: asked before its row is written.
    pub(super) fn room(&self) -> Result<(), StoreError> {
        self.known().room()
    }

    /// Takes a place, unless this sweep has one; `Err` = there is none.
    pub(super) fn begin(&self, id: Uuid) -> Result<bool, StoreError> {
        let mut known = self.known();
        if known.at_work.contains(&id) {
            return Ok(false);
        }
        known.room()?;
        known.problems.remove(&id);
        Ok(known.at_work.insert(id))
    }

    pub(super) fn end(&self, id: Uuid, problem: Option<Problem>) {
        let mut known = self.known();
        known.at_work.remove(&id);
        known.problems.remove(&id);
        if let Some(problem) = problem {
            // Ids begin with their time: the first one is the oldest.
            while known.problems.len() >= REMEMBERED && known.problems.pop_first().is_some() {}
            known.problems.insert(id, problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn away(touched_at: Option<Timestamp>) -> Problem {
        Problem { said: "away".into(), touched_at }
    }

    #[test]
    fn a_problem_is_told_until_somebody_works_on_the_sweep() {
        let (sweeping, id) = (Sweeping::default(), Uuid::now_v7());
        sweeping.end(id, Some(away(Some(at(5)))));
        assert_eq!(sweeping.problem(id, at(5)).as_deref(), Some("away"));
        assert_eq!(sweeping.problem(id, at(6)), None, "a terminal went on with it");
        sweeping.end(id, Some(away(None)));
        assert_eq!(sweeping.problem(id, at(6)).as_deref(), Some("away"), "the store was away to the end");
    }

    #[test]
    fn problems_never_push_out_what_is_at_work_and_both_have_their_bound() {
        let sweeping = Sweeping::default();
        let ids: Vec<Uuid> = (0..MOST).map(|_| Uuid::now_v7()).collect();
        assert!(ids.iter().all(|id| sweeping.begin(*id).unwrap()));
        assert!(!sweeping.begin(ids[0]).unwrap(), "it has its place");
        assert!(sweeping.room().is_err() && sweeping.begin(Uuid::now_v7()).is_err());
        let stopped: Vec<Uuid> = (0..2 * REMEMBERED).map(|_| Uuid::now_v7()).collect();
        stopped.iter().for_each(|id| sweeping.end(*id, Some(away(None))));
        assert!(ids.iter().all(|id| sweeping.is_at_work(*id)));
        let remembered = stopped.iter().filter(|id| sweeping.problem(**id, at(1)).is_some()).count();
        assert_eq!(remembered, REMEMBERED);
        sweeping.end(ids[0], None);
        assert!(sweeping.begin(stopped[2 * REMEMBERED - 1]).unwrap());
        assert_eq!(sweeping.problem(stopped[2 * REMEMBERED - 1], at(1)), None, "it goes on");
    }
}
