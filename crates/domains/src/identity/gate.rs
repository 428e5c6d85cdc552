//! At most a few attempts on one account from one network at once; the others wait for what becomes of these.
//!
//! An attempt stands as a failure until its password was right. Without the gate many right ones at once would be taken
//! for as many wrong ones and lock their own owner out. So there are fewer at once than failures that lock, so
//! few that those of two APIs lock nothing together.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::turns::Full;

/// Attempts on one pair at once, however many failures lock it.
const AT_ONCE: u32 = 4;

/// The gate. Cloning shares it.
#[derive(Clone)]
pub(super) struct Gate {
    at_once: usize,
    waiting: usize,
    pairs: Arc<Mutex<HashMap<String, Pair>>>,
}

struct Pair {
    open: Arc<Semaphore>,
    inside: usize,
}

/// Leave to try, until it is dropped.
pub(super) struct Pass {
    _open: OwnedSemaphorePermit,
    _inside: Inside,
}

struct Inside {
    gate: Gate,
    pair: String,
}

impl Gate {
    /// So many failures lock a pair, and so many attempts may wait for one.
    pub(super) fn new(failures: u32, waiting: usize) -> Self {
        let at_once = (failures.saturating_sub(1) / 2).clamp(1, AT_ONCE) as usize;
        Self { at_once, waiting, pairs: Arc::default() }
    }

    /// Waits until few enough others try.
    pub(super) async fn enter(&self, pair: &str) -> Result<Pass, Full> {
        let open = {
            let mut pairs = self.pairs();
            let pair = pairs
                .entry(pair.to_owned())
                .or_insert_with(|| Pair { open: Arc::new(Semaphore::new(self.at_once)), inside: 0 });
            if pair.inside >= self.at_once.saturating_add(self.waiting) {
                return Err(Full);
            }
            pair.inside += 1;
            Arc::clone(&pair.open)
        };
        let inside = Inside { gate: self.clone(), pair: pair.to_owned() };
        let open = open.acquire_owned().await.map_err(|_| Full)?;
        Ok(Pass { _open: open, _inside: inside })
    }

    fn pairs(&self) -> MutexGuard<'_, HashMap<String, Pair>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut pairs = self.gate.pairs();
        if let Some(pair) = pairs.get_mut(&self.pair) {
            pair.inside -= 1;
            if pair.inside == 0 {
                pairs.remove(&self.pair);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn few_try_at_once_the_others_wait_and_nothing_stays() {
        let gate = Gate::new(10, 2);
        let mut passes = Vec::new();
        for _ in 0..AT_ONCE {
            passes.push(gate.enter("a").await.unwrap_or_else(|_| panic!("open")));
        }
        let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(gate.enter("a"))).collect();
        for one in &mut waiting {
            assert!(asked_once(one).await.is_none(), "waits");
        }
        assert!(gate.enter("a").await.is_err(), "and no more than that");
        let _other = gate.enter("b").await.unwrap_or_else(|_| panic!("another pair is open"));
        passes.pop();
        assert!(asked_once(&mut waiting[0]).await.is_some());
        drop(waiting);
        drop(passes);
        assert_eq!(gate.pairs().keys().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn those_at_once_never_lock_what_they_try() {
        let at_once = |failures| Gate::new(failures, 0).at_once;
        assert_eq!([0, 1, 2, 3, 4, 7, 8, 10, 1000].map(at_once), [1, 1, 1, 1, 1, 3, 3, 4, 4]);
    }

    /// What a future says when it is asked once.
    async fn asked_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! { biased; answer = future => Some(answer), () = std::future::ready(()) => None }
    }
}
