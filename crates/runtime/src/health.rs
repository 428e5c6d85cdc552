//! What is wrong right now, part by part, for readiness and for the log.
//!
//! A trouble stands until the part that reported it clears it.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

#[derive(Debug, Default)]
pub(crate) struct Health {
    any: AtomicBool,
    troubles: Mutex<BTreeMap<String, String>>,
}

impl Health {
    /// Something is wrong with this part.
    pub(crate) fn trouble(&self, part: &str, problem: &dyn Display) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.insert(part.to_owned(), problem.to_string());
        self.any.store(true, Ordering::Release);
    }

    /// This part is well again. Cheap when nothing was wrong.
    pub(crate) fn clear(&self, part: &str) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.remove(part).is_some() {
            tracing::info!(part, "well again");
        }
        self.any.store(!troubles.is_empty(), Ordering::Release);
    }

    /// Every trouble as `part: problem`, sorted by part.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.iter().map(|(part, problem)| format!("{part}: {problem}")).collect()
    }
}
