//! Which sweeps this process goes on with, and why it stopped with others. Bounded in both.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use backshift_core::StoreError;
use uuid::Uuid;

/// So many go on at once in one process.
const MOST: usize = 8;
/// Problems that are remembered.
const REMEMBERED: usize = 100;

/// The sweeps of this process.
#[derive(Default)]
pub(super) struct Sweeping(Mutex<BTreeMap<Uuid, State>>);

enum State {
    AtWork,
    Stopped(String),
}

impl Sweeping {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Uuid, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process goes on with it.
    pub(super) fn is_at_work(&self, id: Uuid) -> bool {
        matches!(self.all().get(&id), Some(State::AtWork))
    }

    /// Why this process stopped.
    pub(super) fn problem(&self, id: Uuid) -> Option<String> {
        match self.all().get(&id) {
            Some(State::Stopped(problem)) => Some(problem.clone()),
            _ => None,
        }
    }

    /// Takes a place, unless this sweep has one; `Err` = there is none.
    pub(super) fn begin(&self, id: Uuid) -> Result<bool, StoreError> {
        let mut all = self.all();
        if matches!(all.get(&id), Some(State::AtWork)) {
            return Ok(false);
        }
        if all.values().filter(|state| matches!(state, State::AtWork)).count() >= MOST {
            return Err(StoreError::Rejected(format!(
                "{MOST} others are under way here. Nothing was changed: come back when one of them has ended."
            )));
        }
        all.insert(id, State::AtWork);
        Ok(true)
    }

    pub(super) fn end(&self, id: Uuid, problem: Option<String>) {
        let mut all = self.all();
        all.remove(&id);
        if let Some(problem) = problem {
            // Ids begin with their time: the first one is the oldest.
            while all.len() >= REMEMBERED && all.pop_first().is_some() {}
            all.insert(id, State::Stopped(problem));
        }
    }
}
