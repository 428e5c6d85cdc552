//! The model's memory: what was asked for, what every start did, and every rule that was seen broken.
//!
//! It sees the handlers and the tables, never the engine's inside: what it knows is what a user would know.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backshift_core::{Bytes, JobContext, JobId, QueueName, Timestamp, wire};
use tokio::time::Instant;

use super::{
    rules::{Finding, Rule},
    script::{Script, TIMEOUT},
};

/// No more findings than this are kept of one seed.
const MOST_FINDINGS: usize = 40;
/// After so long every worker knows that a queue is paused.
const PAUSE_IS_KNOWN: Duration = Duration::from_secs(5);

/// What a job was when it was enqueued.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) script: Script,
    pub(super) queue: QueueName,
    pub(super) payload: Bytes,
    pub(super) max_attempts: u32,
    pub(super) run_at: Option<Timestamp>,
    /// The broker or the store has said so.
    pub(super) accepted: bool,
    /// Somebody asked to cancel it, or a later job with its key may have.
    pub(super) may_be_cancelled: bool,
    /// It is larger than workers accept.
    pub(super) too_large: bool,
    /// Its unique key.
    pub(super) key: Option<String>,
}

/// What one start did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Deed {
    /// It was dropped, or runs.
    Nothing,
    Done,
    Committed,
    RolledBack,
    Error,
    Panic,
    Snoozed(Duration),
    /// It was told to stop and did.
    Obeyed,
    Buried,
    Cancelled,
}

/// One start of a job, as its handler saw it.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) deed: Deed,
    pub(super) began: Instant,
    pub(super) ended: Option<Instant>,
}

impl Start {
    /// Whether it ran into its time-out.
    pub(super) fn timed_out(&self) -> bool {
        self.ended.is_some_and(|ended| ended - self.began >= TIMEOUT)
    }

    /// Whether it is a failure that counts.
    pub(super) fn failed(&self) -> bool {
        matches!(self.deed, Deed::Error | Deed::Panic | Deed::RolledBack) || self.timed_out()
    }
}

#[derive(Default)]
pub(super) struct Pages {
    pub(super) jobs: BTreeMap<JobId, Expected>,
    pub(super) starts: BTreeMap<JobId, BTreeMap<i64, Start>>,
    /// How often the world outside saw the effect of a job.
    pub(super) outside: BTreeMap<JobId, u32>,
    /// Handlers inside, by worker and queue.
    inside: BTreeMap<(String, QueueName), usize>,
    /// Since when which process runs which job.
    running: BTreeMap<(String, JobId), (Instant, i64)>,
    lease: Duration,
    slots: BTreeMap<QueueName, usize>,
    /// Handlers inside, by limited key; only of starts since the calm began.
    limited: BTreeMap<String, u32>,
    paused: BTreeMap<QueueName, Instant>,
    /// Jobs of which a second message was put into a queue.
    pub(super) doubled: BTreeSet<JobId>,
    /// What was put into queues and is not a job, or not the job that it says.
    pub(super) rubbish: Vec<(QueueName, Bytes)>,
    /// From then on nothing fails.
    pub(super) calm: Option<(Instant, Timestamp)>,
    findings: Vec<Finding>,
    trace: Option<Vec<String>>,
    origin: Option<Instant>,
}

/// The model's memory. Cheap to clone; clones are the same book.
#[derive(Clone, Default)]
pub(super) struct Book(Arc<Mutex<Pages>>);

impl Book {
    pub(super) fn open(traced: bool, lease: Duration) -> Self {
        let (trace, origin) = (traced.then(Vec::new), Some(Instant::now()));
        let pages = Pages { trace, origin, lease, ..Pages::default() };
        Self(Arc::new(Mutex::new(pages)))
    }

    pub(super) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A rule is broken.
    pub(super) fn broken(&self, rule: Rule, detail: impl fmt::Display) {
        self.note(|| format!("BROKEN {rule}: {detail}"));
        self.pages().broken(rule, detail);
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        self.pages().findings.clone()
    }

    /// Writes a line of the history, when somebody wants one.
    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        let mut pages = self.pages();
        let origin = pages.origin;
        if let (Some(trace), Some(origin)) = (&mut pages.trace, origin) {
            trace.push(format!("{:>12.3} {}", origin.elapsed().as_secs_f64(), line()));
        }
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.pages().trace.take().unwrap_or_default()
    }

    pub(super) fn expect(&self, id: JobId, job: Expected) {
        self.pages().jobs.insert(id, job);
    }

    pub(super) fn accepted(&self, id: JobId) {
        self.note(|| format!("accepted {}", short(id)));
        if let Some(job) = self.pages().jobs.get_mut(&id) {
            job.accepted = true;
        }
    }

    pub(super) fn slots(&self, queue: &QueueName, slots: usize) {
        self.pages().slots.insert(queue.clone(), slots);
    }

    pub(super) fn paused(&self, queue: &QueueName, paused: bool) {
        let mut pages = self.pages();
        match paused {
            true => drop(pages.paused.insert(queue.clone(), Instant::now())),
            false => drop(pages.paused.remove(queue)),
        }
    }

    /// A handler begins. What it does is told to the guard that is returned.
    pub(super) fn begin(&self, context: &JobContext, now: Timestamp, key: Option<(&str, u32)>) -> Running {
        let (id, token) = (context.id(), context.lease().map_or(0, |lease| lease.token.0));
        let worker = context.worker().to_string();
        self.note(|| format!("{worker} begins {} token {token} attempt {}", short(id), context.attempt()));
        let place = (worker.clone(), context.queue().clone());
        let mut pages = self.pages();
        pages.check(context, token, now);
        pages.check_once(&worker, id, token);
        let inside = pages.inside.entry(place.clone()).or_default();
        *inside += 1;
        let (inside, slots) = (*inside, pages.slots.get(&place.1).copied().unwrap_or(usize::MAX));
        if inside > slots {
            pages.broken(Rule::Slots, format!("{worker} runs {inside} jobs of {} in {slots} slots", place.1));
        }
        let key = key.filter(|_| pages.calm.is_some());
        if let Some((key, places)) = key {
            let inside = pages.limited.entry(key.to_owned()).or_default();
            *inside += 1;
            if *inside > places {
                let inside = *inside;
                pages.broken(Rule::Concurrency, format!("{inside} jobs of {key} run in {places} places"));
            }
        }
        let rivals = pages.jobs.get(&id).and_then(|job| job.key.clone()).filter(|_| pages.calm.is_some());
        if let Some(key) = &rivals {
            let inside = pages.limited.entry(key.clone()).or_default();
            *inside += 1;
            if *inside > 1 {
                pages.broken(Rule::Unique, format!("two jobs of {key} run at once"));
            }
        }
        let start = Start { deed: Deed::Nothing, began: Instant::now(), ended: None };
        pages.starts.entry(id).or_default().insert(token, start);
        drop(pages);
        let keys = rivals.into_iter().chain(key.map(|(key, _)| key.to_owned())).collect();
        Running { book: self.clone(), id, token, place, keys }
    }

    /// A start did something. The last word stands, except that a commit is never unsaid.
    pub(super) fn did(&self, id: JobId, token: i64, deed: Deed) {
        self.note(|| format!("{} token {token}: {deed:?}", short(id)));
        let mut pages = self.pages();
        let Some(starts) = pages.starts.get_mut(&id) else { return };
        let passed = starts.keys().next_back().is_some_and(|last| *last > token);
        if let Some(start) = starts.get_mut(&token).filter(|start| start.deed != Deed::Committed) {
            start.deed = deed;
        }
        if deed == Deed::Committed && passed {
            pages.broken(
                Rule::NoStaleEffect,
                format!("{}: token {token} committed after a later start", short(id)),
            );
        }
    }
}

impl Pages {
    pub(super) fn broken(&mut self, rule: Rule, detail: impl fmt::Display) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(Finding { rule, detail: detail.to_string() });
        }
    }

    /// What can be said when a handler begins.
    fn check(&mut self, context: &JobContext, token: i64, now: Timestamp) {
        let (id, envelope) = (context.id(), context.envelope());
        if let Some(job) = self.jobs.get(&id) {
            if job.payload != envelope.payload || envelope.headers.get("mark") != Some(&mark(id)) {
                self.broken(Rule::Payload, format!("{} came with other bytes or headers", short(id)));
            } else if let Some(at) = job.run_at.filter(|at| now < *at) {
                self.broken(Rule::NotEarly, format!("{} is due at {at} and began at {now}", short(id)));
            }
        } else if !envelope.headers.contains_key(wire::TICK) {
            self.broken(Rule::Payload, format!("{} was never enqueued", short(id)));
        }
        // An answer may be late, so an older token may begin after a newer one; it is refused when it ends.
        if self.starts.get(&id).is_some_and(|starts| starts.contains_key(&token)) {
            self.broken(Rule::RisingToken, format!("{}: token {token} begins a second time", short(id)));
        }
        let paused = self.paused.get(context.queue()).is_some_and(|since| since.elapsed() > PAUSE_IS_KNOWN);
        if paused && self.calm.is_some() {
            self.broken(Rule::Paused, format!("{} began in the paused {}", short(id), context.queue()));
        }
    }
}

impl Pages {
    /// A handler begins only while two thirds of its lease are not over, so the lease stands for a third from then on, unless
    /// another worker had the job in between.
    fn check_once(&mut self, worker: &str, id: JobId, token: i64) {
        let before = self.running.insert((worker.to_owned(), id), (Instant::now(), token));
        let stands = |(began, last): (Instant, i64)| token == last + 1 && began.elapsed() < self.lease / 3;
        if before.is_some_and(stands) {
            self.broken(Rule::OnceInside, format!("{worker} began {} again while it ran it", short(id)));
        }
    }
}

/// A handler that runs. Dropped, it has ended.
pub(super) struct Running {
    book: Book,
    id: JobId,
    token: i64,
    place: (String, QueueName),
    keys: Vec<String>,
}

impl Running {
    pub(super) fn did(&self, deed: Deed) {
        self.book.did(self.id, self.token, deed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut pages = self.book.pages();
        if let Some(inside) = pages.inside.get_mut(&self.place) {
            *inside -= 1;
        }
        pages.running.remove(&(self.place.0.clone(), self.id));
        for key in &self.keys {
            if let Some(inside) = pages.limited.get_mut(key) {
                *inside -= 1;
            }
        }
        let start = pages.starts.get_mut(&self.id).and_then(|starts| starts.get_mut(&self.token));
        if let Some(start) = start {
            start.ended = Some(Instant::now());
        }
    }
}

/// The header that every simulated job carries.
pub(super) fn mark(id: JobId) -> String {
    format!("mark of {}", short(id))
}

/// The end of an id, which tells jobs of one seed apart.
pub(super) fn short(id: JobId) -> String {
    format!("{:04x}", id.0.as_u128() as u16)
}
