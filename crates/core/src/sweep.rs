//! What people do by hand: to one job, to a queue, or to all jobs that match; and who did it.
//!
//! Many are done in batches. A sweep is remembered by the store, with what is meant by it. Whoever wishes the same within the
//! hour goes on with it, so that no job of one sweep is touched twice: neither when a command is killed and run again, nor
//! when two people run it at once.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use crate::{JobFilter, JobId, QueueName, State, StoreError, record::Standing};

/// Jobs that one batch changes at most.
pub const BATCH: u32 = 500;
/// How far [`Sweeps::matching`] and [`Sweeps::causes`] count.
pub const COUNTED: u64 = 100_000;

/// What is done by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Run again now, with fresh attempts.
    Retry,
    /// Cancel what waits, ask what runs to stop.
    Cancel,
    /// Forget what is over. Of a job of a foreign broker only when it ended a day ago: until then a redelivery may ask for it.
    Delete,
}

impl Deed {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
            Self::Delete => "delete",
        }
    }

    /// Whether it is done to jobs in this state.
    pub fn applies_to(self, state: State) -> bool {
        match self {
            Self::Retry => {
                matches!(state, State::Scheduled | State::Retrying | State::Dead | State::Cancelled)
            }
            Self::Cancel => !state.is_final(),
            Self::Delete => state.is_final(),
        }
    }

    /// Whether it is done to all jobs that match: they are named by a state, or are parked, and then only cancelled.
    pub fn applies_to_all(self, filter: &JobFilter) -> bool {
        match (filter.state, filter.standing) {
            (Some(state), _) => self.applies_to(state),
            (None, Some(Standing::Parked)) => self == Self::Cancel,
            (None, _) => false,
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Retry, Self::Cancel, Self::Delete].into_iter().find(|deed| deed.as_str() == text)
    }
}

/// The longest name, reason or wish that is kept, in bytes.
pub const LONGEST: usize = 1000;

/// Who acts, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hand {
    /// `user@host`, or who signed in to the pages.
    pub who: String,
    /// In their words.
    pub why: Option<String>,
}

impl Hand {
    /// Whether it says who acts, and neither text is longer than [`LONGEST`].
    pub fn is_signed(&self) -> bool {
        let short = |text: &String| text.len() <= LONGEST;
        !self.who.is_empty() && short(&self.who) && self.why.iter().all(short)
    }
}

/// A deed to all that match.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// What is done.
    pub deed: Deed,
    /// To which jobs; [`Deed::applies_to_all`] must hold.
    pub filter: JobFilter,
    /// The wish as it was written: equal words within the hour go on with an unfinished sweep, whatever `2h` means by now.
    pub words: String,
    /// Who wishes it.
    pub hand: Hand,
    /// How many jobs there were when somebody was asked: for the bar, nothing is held to it.
    pub expected: Matching,
}

/// How many jobs match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Matching {
    /// So many were counted.
    pub jobs: u64,
    /// There may be more.
    pub more: bool,
}

/// How far a sweep is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// Which sweep.
    pub id: Uuid,
    /// Jobs that it found.
    pub found: u64,
    /// Jobs that it changed. The others were changed by somebody else meanwhile, or cannot be: their payload was not kept, their
    /// unique key is held.
    pub changed: u64,
    /// It is at its end.
    pub done: bool,
    /// Where this batch made jobs due.
    pub queues: Vec<QueueName>,
}

/// A sweep as it stands: what is meant by it, how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepRecord {
    /// What was wished, with the time before which its jobs were accepted.
    pub sweep: Sweep,
    /// How far it is.
    pub swept: Swept,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// When somebody last worked on it.
    pub touched_at: Timestamp,
}

/// What a hand was laid on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upon {
    /// One job, which may be gone by now.
    Job(JobId),
    /// A queue.
    Queue(QueueName),
    /// All jobs that matched these words.
    Many {
        /// The wish as it was written.
        words: String,
        /// How many of them were changed.
        changed: u64,
        /// It is at its end.
        done: bool,
    },
}

/// What somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandRecord {
    /// When.
    pub at: Timestamp,
    /// What: `retry`, `cancel`, `delete`, `pause` or `resume`.
    pub deed: String,
    /// To what.
    pub upon: Upon,
    /// Who, and why.
    pub hand: Hand,
    /// The sweep that it was part of.
    pub sweep: Option<Uuid>,
}

/// Dead jobs of one cause.
#[derive(Debug, Clone, PartialEq)]
pub struct CauseRecord {
    /// What their errors have in common; `None` = they carry no error.
    pub fingerprint: Option<String>,
    /// How many.
    pub jobs: u64,
    /// When the first of them was accepted.
    pub first: Timestamp,
    /// When the last one was.
    pub last: Timestamp,
    /// One of them.
    pub example: JobId,
    /// What it said.
    pub error: Option<String>,
}

/// The dead by cause, as far as they were looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Causes {
    /// The most frequent first.
    pub causes: Vec<CauseRecord>,
    /// Of these, the newest were looked at, back to this time; `None` = all were.
    pub back_to: Option<Timestamp>,
}

/// Many jobs at once. A store that cannot says so.
#[async_trait]
pub trait Sweeps: Send + Sync + 'static {
    /// How many jobs match now, counted up to [`COUNTED`] and among a bounded number of jobs: a person waits for it.
    async fn matching(&self, filter: &JobFilter) -> Result<Matching, StoreError> {
        let _ = filter;
        Err(cannot())
    }

    /// Begins a sweep, or finds the unfinished one with the same deed and words that somebody worked on within the hour. Jobs
    /// that are accepted later are not part of it. Changes no job.
    async fn begin_sweep(&self, sweep: &Sweep) -> Result<Swept, StoreError> {
        let _ = sweep;
        Err(cannot())
    }

    /// One batch of at most [`BATCH`] jobs, together with where to go on; `hand` is who does this one. Each job is changed only
    /// if it still matches when it is touched.
    async fn sweep(&self, id: Uuid, hand: &Hand) -> Result<Swept, StoreError> {
        let _ = (id, hand);
        Err(cannot())
    }

    /// A sweep as it stands; `None` = there is none with this id.
    async fn find_sweep(&self, id: Uuid) -> Result<Option<SweepRecord>, StoreError> {
        let _ = id;
        Err(cannot())
    }

    /// One deed to one job, written down together with what it changed: the state after the call, of a deleted job the one that
    /// it had. What changed nothing is not written down.
    async fn act(&self, deed: Deed, job: JobId, hand: &Hand) -> Result<State, StoreError> {
        let _ = (deed, job, hand);
        Err(cannot())
    }

    /// Pauses or resumes a queue, written down; says whether that changed anything.
    async fn turn(&self, queue: &QueueName, paused: bool, hand: &Hand) -> Result<bool, StoreError> {
        let _ = (queue, paused, hand);
        Err(cannot())
    }

    /// What was done to this job by hand, the newest 200, oldest first.
    async fn hands(&self, job: JobId) -> Result<Vec<HandRecord>, StoreError> {
        let _ = job;
        Ok(Vec::new())
    }

    /// The last thing that was done by hand to each of these jobs, of those to which something was; also to deleted ones.
    async fn last_hands(&self, jobs: &[JobId]) -> Result<Vec<HandRecord>, StoreError> {
        let _ = jobs;
        Ok(Vec::new())
    }

    /// What was done by hand before this time, newest first; a whole sweep counts as one. At most 500.
    async fn all_hands(&self, before: Option<Timestamp>, limit: u32) -> Result<Vec<HandRecord>, StoreError> {
        let _ = (before, limit);
        Ok(Vec::new())
    }

    /// The dead jobs that match by cause, the most frequent first, at most 100 causes among the newest jobs: at least
    /// [`COUNTED`] of those that match, or a bounded number that do not.
    async fn causes(&self, filter: &JobFilter) -> Result<Causes, StoreError> {
        let _ = filter;
        Err(cannot())
    }
}

fn cannot() -> StoreError {
    StoreError::Rejected("this store does nothing to many jobs at once".into())
}
