//! What is wrong right now, part by part, for readiness and for the log.
//!
//! A trouble stands until the part that reported it clears it, which it does when a call of it has succeeded. One outage
//! is a trouble of many parts at once: the whole process writes about one line a second into the log.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Health {
    any: AtomicBool,
    troubles: Mutex<BTreeMap<String, String>>,
    told: Mutex<Option<Instant>>,
}

/// Between two lines about troubles.
const TELL_EVERY: Duration = Duration::from_secs(1);

impl Health {
    /// Something is wrong with this part; whether it is time to say so in the log.
    pub(crate) fn trouble(&self, part: &str, problem: &dyn Display) -> bool {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.insert(part.to_owned(), problem.to_string());
        self.any.store(true, Ordering::Release);
        drop(troubles);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let due = told.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        if due {
            *told = Some(Instant::now());
        }
        due
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

    /// Every part in trouble and its problem, sorted by part.
    pub(crate) fn troubles(&self) -> Vec<(String, String)> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.iter().map(|(part, problem)| (part.clone(), problem.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_parts_in_trouble_say_so_once_a_second() {
        let health = Health::default();
        let mut lines = 0;
        for _ in 0..200 {
            for part in ["a", "b", "c"] {
                lines += usize::from(health.trouble(part, &"away"));
            }
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert!((19..=21).contains(&lines), "{lines} lines in 20 seconds");
        assert_eq!(health.troubles().len(), 3);
    }
}
