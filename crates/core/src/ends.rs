//! The ends of jobs: told by the workers of this process as they happen, waited for one by one.
//!
//! A subscription hears only what *this process* brought to an end; a job that is cancelled while it waits has no attempt, so no
//! subscription hears of it. Waiting for one job works from everywhere: a worker of the same process tells whoever waits, and
//! for the ends of other processes all who wait share one look at the store.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, broadcast, oneshot},
    time::{Instant, sleep, timeout},
};

use crate::{JobId, Kind, QueueName, State, Store, StoreError};

/// The ends that a slow subscriber may be behind before it misses some.
const BEHIND: usize = 1024;
/// The pause between two looks for one job is an eighth of its wait, in these bounds.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);
/// The most jobs of one look.
const BATCH: usize = 500;

/// A job that came to its end in a worker of this process.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The job.
    pub id: JobId,
    /// Its kind.
    pub kind: Kind,
    /// The queue that it came from.
    pub queue: QueueName,
    /// `Completed`, `Dead` or `Cancelled`.
    pub state: State,
    /// The attempt that ended it.
    pub attempt: u32,
    /// Why it is dead.
    pub error: Option<String>,
}

/// Where the workers of a process tell the ends of jobs. Cheap to clone; clones are the same place.
#[derive(Clone, Default)]
pub struct Endings(Arc<Inner>);

struct Inner {
    told: broadcast::Sender<Ended>,
    waiting: Mutex<Waiting>,
    /// How many wait, so that nobody who tells an end takes the lock for nothing.
    count: AtomicUsize,
    fresh: Notify,
}

impl Default for Inner {
    fn default() -> Self {
        let (told, _) = broadcast::channel(BEHIND);
        Self { told, waiting: Mutex::default(), count: AtomicUsize::new(0), fresh: Notify::new() }
    }
}

#[derive(Default)]
struct Waiting {
    number: u64,
    by_job: HashMap<JobId, Vec<Waiter>>,
    /// A task looks for them.
    looked_for: bool,
}

struct Waiter {
    number: u64,
    since: Instant,
    next_look: Instant,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

impl Endings {
    /// Tells an end. Costs nothing while nobody listens.
    pub fn tell(&self, id: JobId, ended: impl FnOnce() -> Ended) {
        if self.0.count.load(Ordering::SeqCst) > 0 {
            self.answer(id, &Ok(()));
        }
        if self.0.told.receiver_count() > 0 {
            // Everybody may have gone meanwhile.
            let _ = self.0.told.send(ended());
        }
    }

    /// Hears every end from now on.
    pub fn subscribe(&self) -> Ends {
        Ends { told: self.0.told.subscribe(), missed: 0 }
    }

    /// Waits beside others until `id` is over, or says why nobody can know.
    pub(crate) async fn wait(&self, store: &Arc<dyn Store>, id: JobId) -> Result<(), StoreError> {
        let (_place, answer) = self.enter(id);
        self.keep_looking(store);
        let mut answer = answer;
        loop {
            match timeout(LONGEST * 4, &mut answer).await {
                Ok(told) => return told.unwrap_or(Ok(())),
                // Whoever looks may have ended with the runtime that it ran on.
                Err(_) => self.keep_looking(store),
            }
        }
    }

    fn enter(&self, id: JobId) -> (Place, oneshot::Receiver<Result<(), StoreError>>) {
        let (answer, told) = oneshot::channel();
        let now = Instant::now();
        let mut waiting = self.waiting();
        waiting.number += 1;
        let number = waiting.number;
        let waiter = Waiter { number, since: now, next_look: now + SHORTEST, answer };
        waiting.by_job.entry(id).or_default().push(waiter);
        self.0.count.fetch_add(1, Ordering::SeqCst);
        (Place { endings: self.clone(), id, number }, told)
    }

    fn answer(&self, id: JobId, with: &Result<(), StoreError>) {
        let Some(waiters) = self.waiting().by_job.remove(&id) else { return };
        self.0.count.fetch_sub(waiters.len(), Ordering::SeqCst);
        for waiter in waiters {
            // Whoever gave up needs no answer.
            let _ = waiter.answer.send(with.clone());
        }
    }

    /// One task looks for all who wait, and ends with the last of them.
    fn keep_looking(&self, store: &Arc<dyn Store>) {
        let begins = !std::mem::replace(&mut self.waiting().looked_for, true);
        self.0.fresh.notify_one();
        if begins {
            let (endings, store) = (self.clone(), Arc::clone(store));
            tokio::spawn(async move {
                let looking = Looking(endings);
                looking.0.look(store.as_ref()).await;
            });
        }
    }

    async fn look(&self, store: &dyn Store) {
        while let Some(next) = self.next_look() {
            let pause = next.saturating_duration_since(Instant::now()).max(SHORTEST);
            // A fresh one may have to be looked for sooner; at most every 10 ms all the same.
            if timeout(pause, self.0.fresh.notified()).await.is_ok() {
                sleep(SHORTEST).await;
            }
            let due = self.due();
            for jobs in due.chunks(BATCH) {
                match store.over(jobs).await {
                    Ok(over) => over.into_iter().for_each(|id| self.answer(id, &Ok(()))),
                    Err(error) if error.is_transient() => {}
                    Err(error) => jobs.iter().for_each(|id| self.answer(*id, &Err(error.clone()))),
                }
            }
        }
    }

    /// When to look next; `None` = nobody waits, and whoever comes begins a new task.
    fn next_look(&self) -> Option<Instant> {
        let mut waiting = self.waiting();
        let next = waiting.by_job.values().flatten().map(|waiter| waiter.next_look).min();
        waiting.looked_for = next.is_some();
        next
    }

    /// The jobs to look for now.
    fn due(&self) -> Vec<JobId> {
        let now = Instant::now();
        let mut due = HashSet::new();
        for (id, waiters) in &mut self.waiting().by_job {
            for waiter in waiters.iter_mut().filter(|waiter| waiter.next_look <= now) {
                let age = now.saturating_duration_since(waiter.since);
                waiter.next_look = now + (age / 8).clamp(SHORTEST, LONGEST);
                due.insert(*id);
            }
        }
        due.into_iter().collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Endings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endings").field("waiting", &self.0.count).finish_non_exhaustive()
    }
}

/// The task that looks. However it ends, the next one who waits begins another; two of them do no harm.
struct Looking(Endings);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.waiting().looked_for = false;
    }
}

/// Somebody who waits; leaves when dropped.
struct Place {
    endings: Endings,
    id: JobId,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.endings.waiting();
        let Some(waiters) = waiting.by_job.get_mut(&self.id) else { return };
        let before = waiters.len();
        waiters.retain(|waiter| waiter.number != self.number);
        let left = before - waiters.len();
        if waiters.is_empty() {
            waiting.by_job.remove(&self.id);
        }
        self.endings.0.count.fetch_sub(left, Ordering::SeqCst);
    }
}

/// Hears the ends of jobs in this process, from its making on.
///
/// ```
/// # use backshift_core as backshift;
/// use backshift::{Client, State};
///
/// async fn tell_me(client: &Client) {
///     let mut ends = client.ends();
///     while let Some(end) = ends.next().await {
///         if end.state == State::Dead {
///             eprintln!("{} {}: {}", end.kind, end.id, end.error.unwrap_or_default());
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Ends {
    told: broadcast::Receiver<Ended>,
    missed: u64,
}

impl Ends {
    /// The next end; `None` when there is no worker and no client any more that could tell one. Cancel-safe.
    pub async fn next(&mut self) -> Option<Ended> {
        loop {
            match self.told.recv().await {
                Ok(ended) => return Some(ended),
                Err(broadcast::error::RecvError::Lagged(missed)) => self.missed += missed,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// How many ends were lost because the last 1,024 of them were not fetched in time.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}
