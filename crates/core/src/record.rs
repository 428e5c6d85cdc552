//! A job as the store remembers it: for lists, pages and explanations.

use bytes::Bytes;
use jiff::Timestamp;

use crate::{EffectState, Headers, JobId, Kind, QueueName, Token};

/// Where a job stands.
///
/// ```
/// # use backshift_core as backshift;
/// use backshift::State;
///
/// assert!(State::Dead.is_final() && !State::Retrying.is_final());
/// assert_eq!(State::parse("scheduled"), Some(State::Scheduled));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Waits for its first time.
    Scheduled,
    /// May run now.
    Available,
    /// Runs under a lease.
    Running,
    /// Waits for its next attempt.
    Retrying,
    /// Done.
    Completed,
    /// Kept for a person.
    Dead,
    /// Stopped on request.
    Cancelled,
}

impl State {
    /// All states in the order of a job's life.
    pub const ALL: [Self; 7] = [
        Self::Scheduled,
        Self::Available,
        Self::Running,
        Self::Retrying,
        Self::Completed,
        Self::Dead,
        Self::Cancelled,
    ];

    /// The stable name: `status` of the ledger, `--state` of the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Available => "available",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Completed => "completed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Reads a state as people call it, from here or from another job system: `failed`, `pending`, `active` …
    pub fn meant_by(text: &str) -> Option<Self> {
        let word = text.trim().to_lowercase().replace([' ', '_'], "-");
        Some(match word.as_str() {
            "delayed" | "later" | "future" | "planned" => Self::Scheduled,
            "pending" | "waiting" | "queued" | "enqueued" => Self::Available,
            "active" | "processing" | "executing" | "started" | "in-progress" => Self::Running,
            "retry" | "retryable" | "backoff" | "retries" => Self::Retrying,
            "done" | "success" | "successful" | "succeeded" | "finished" | "processed" | "complete" => {
                Self::Completed
            }
            "failed" | "failure" | "discarded" | "dead-letter" | "dead-letters" | "archived" | "killed" => {
                Self::Dead
            }
            "canceled" | "aborted" | "stopped" | "revoked" => Self::Cancelled,
            own => return Self::parse(own),
        })
    }

    /// Whether nothing more will happen by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Dead | Self::Cancelled)
    }
}

/// How the error of a parked job begins, for people who read it. It decides nothing, because a handler may say the same:
/// [`JobRecord::parked`] does.
pub const PARKED: &str = "parked: ";

/// Why a job that waits is not simply next: a word beside its state, on pages, in lists and searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Nobody who looked at it knows its kind. It is available, or scheduled where its broker hands it round.
    Parked,
    /// It was begun and sent back without a counted attempt: by a breaker, a limit, a pause of a transport, or its handler. It is
    /// scheduled.
    Held,
}

/// Where a job stands, as people ask for it: a state, or a word beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stands {
    /// The state; `None` = the word is in two of them.
    pub state: Option<State>,
    /// The word beside it.
    pub standing: Option<Standing>,
}

impl Stands {
    /// Reads a state or a standing as people call it, from here or from another job system.
    pub fn meant_by(text: &str) -> Option<Self> {
        match Standing::parse(text) {
            Some(Standing::Parked) => Some(Self { state: None, standing: Some(Standing::Parked) }),
            Some(Standing::Held) => {
                Some(Self { state: Some(State::Scheduled), standing: Some(Standing::Held) })
            }
            None => State::meant_by(text).map(|state| Self { state: Some(state), standing: None }),
        }
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        self.standing.map(Standing::as_str).or(self.state.map(State::as_str)).unwrap_or_default()
    }

    /// Every word of ours, in the order of a job's life.
    pub fn words() -> impl Iterator<Item = &'static str> {
        State::ALL.map(State::as_str).into_iter().chain(Standing::ALL.map(Standing::as_str))
    }

    /// What somebody may have meant by a word that is none.
    pub fn nearest(text: &str) -> Option<String> {
        crate::nearest(&text.trim().to_lowercase(), Self::words().map(str::to_owned))
    }
}

impl Standing {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Parked, Self::Held];

    /// The word: `--state parked` of the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Held => "held",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        let word = text.trim().to_lowercase();
        Self::ALL.into_iter().find(|standing| standing.as_str() == word)
    }
}

/// One row of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRecord {
    /// The job.
    pub id: JobId,
    /// Its kind.
    pub kind: Kind,
    /// Its queue.
    pub queue: QueueName,
    /// The broker that moves it.
    pub broker: String,
    /// That broker keeps a message of its own beside this row, and may deliver it once more.
    pub is_foreign: bool,
    /// Where it stands.
    pub state: State,
    /// It waits because no worker that looked at it has a handler for its kind.
    pub parked: bool,
    /// The attempt that runs now or next; for a finished job the last one.
    pub attempt: u32,
    /// How many attempts it may take; `None` = whatever its worker says.
    pub max_attempts: Option<u32>,
    /// Higher runs first.
    pub priority: i16,
    /// The fence of its last start; 0 = never started.
    pub token: Token,
    /// Not before this time.
    pub run_at: Timestamp,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it came to its end.
    pub finished_at: Option<Timestamp>,
    /// The last error.
    pub error: Option<String>,
    /// Why it is dead.
    pub reason: Option<String>,
    /// What is known about its effect in the outside world.
    pub effect: EffectState,
    /// A remark on the outcome, such as `suppressed`; it is not an error.
    pub note: Option<String>,
    /// Who holds it.
    pub worker: Option<String>,
    /// Until when it is held.
    pub lease_until: Option<Timestamp>,
    /// Leases that ended without a result.
    pub crashes: u32,
    /// Per cent and a word.
    pub progress: Option<(u8, String)>,
    /// The handler's output.
    pub output: Option<Bytes>,
    /// The payload as kept; `None` when it is sensitive or was cut.
    pub payload: Option<Bytes>,
    /// Its full size in bytes.
    pub payload_size: u64,
    /// Trace context and other text.
    pub headers: Headers,
    /// The unique key, if any.
    pub unique_key: Option<String>,
    /// Whom it concerns.
    pub user_id: Option<uuid::Uuid>,
}

impl JobRecord {
    /// Whether it is parked or held; `None` = its state says all.
    pub fn standing(&self) -> Option<Standing> {
        match self.state {
            State::Scheduled | State::Available if self.parked => Some(Standing::Parked),
            State::Scheduled if self.token.0 > 0 => Some(Standing::Held),
            _ => None,
        }
    }

    /// The word for where it stands: parked, held, or its state.
    pub fn stands(&self) -> &'static str {
        self.standing().map_or(self.state.as_str(), Standing::as_str)
    }
}

/// One row of the attempts table: one start.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRecord {
    /// 1 + the failures counted at its start.
    pub attempt: u32,
    /// Its fence.
    pub token: Token,
    /// Who ran it.
    pub worker: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None` = it runs, or its worker is gone.
    pub ended_at: Option<Timestamp>,
    /// `completed`, `error`, `panic`, `timeout`, `crash`, `released`, `dead`, `cancelled`; `None` while it runs.
    pub outcome: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
}

/// Which jobs to list; every field that is set must match.
///
/// ```
/// # use backshift_core as backshift;
/// use backshift::{JobFilter, Kind, Page, State, Store, StoreError};
///
/// /// Runs every dead mail again, page by page.
/// async fn again(store: &dyn Store) -> Result<(), StoreError> {
///     let kind = Kind::new("mail.welcome").ok();
///     let dead = JobFilter { state: Some(State::Dead), kind, ..JobFilter::default() };
///     let mut page = Page::default();
///     loop {
///         let jobs = store.list(&dead, &page).await?;
///         let Some(last) = jobs.last() else { return Ok(()) };
///         page.after = Some(last.id);
///         for job in &jobs {
///             store.retry(job.id).await?;
///         }
///     }
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobFilter {
    /// Only in this state.
    pub state: Option<State>,
    /// Only those that are parked, or held.
    pub standing: Option<Standing>,
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only in this queue.
    pub queue: Option<QueueName>,
    /// Only with this knowledge about the effect.
    pub effect: Option<EffectState>,
    /// Only those that concern this user.
    pub user: Option<uuid::Uuid>,
    /// Only those accepted at this time or later.
    pub since: Option<Timestamp>,
    /// Only those accepted before this time.
    pub until: Option<Timestamp>,
    /// Each of these must stand somewhere in kind, queue, error, reason, note or payload. Capital letters are as small ones.
    pub words: Vec<String>,
    /// Each of these must stand in the error, the reason or the note.
    pub error: Vec<String>,
    /// Only with an error of this cause: the fingerprint that `dead group` shows.
    pub cause: Option<String>,
    /// Each of these must stand at the beginning of the kept payload, within [`PAYLOAD_SEARCHED`] bytes.
    pub payload: Vec<String>,
}

impl JobFilter {
    /// The word for where its jobs stand: parked, held, or a state.
    pub fn stands(&self) -> Option<&'static str> {
        self.standing.map(Standing::as_str).or(self.state.map(State::as_str))
    }
}

/// Bytes at the beginning of a payload that a search looks at.
pub const PAYLOAD_SEARCHED: usize = 8 * 1024;

/// What a search found, and how far it looked.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The jobs, newest first.
    pub jobs: Vec<JobRecord>,
    /// `None` = it looked at all that there are, or the page is full; else where it stopped.
    pub looked: Option<Looked>,
}

/// Where a search stopped before it had seen everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// How many jobs it looked at.
    pub jobs: u32,
    /// The oldest of them: a page after it looks further.
    pub last: JobId,
    /// When that one was accepted.
    pub back_to: Timestamp,
}

/// A page in the order `(created_at, id)` descending, stable while rows arrive.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Continue after this job; a job that is gone is [`crate::StoreError::NotFound`].
    pub after: Option<JobId>,
    /// At most this many rows, up to 500.
    pub limit: u32,
}

impl Default for Page {
    fn default() -> Self {
        Self { after: None, limit: 50 }
    }
}

/// How many jobs of a queue stand where.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueCounts {
    /// The queue.
    pub queue: QueueName,
    /// Whether it is paused.
    pub paused: bool,
    /// Count by state; a state that is missing counts 0.
    pub by_state: Vec<(State, u64)>,
    /// States of which there may be more than was counted: counting ends somewhere.
    pub more: Vec<State>,
    /// When the oldest job that could run became due.
    pub oldest_due: Option<Timestamp>,
}

impl QueueCounts {
    /// The count of one state.
    pub fn count(&self, state: State) -> u64 {
        self.by_state.iter().find(|(s, _)| *s == state).map_or(0, |(_, n)| *n)
    }
}

/// A job of which nobody gives a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forsaken {
    /// Which one.
    pub id: JobId,
    /// Somebody had begun it: it is `running`, and its lease is over.
    pub begun: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_known_by_the_names_that_people_bring_along() {
        for state in State::ALL {
            assert_eq!(State::meant_by(state.as_str()), Some(state));
        }
        for (word, state) in [
            ("failed", State::Dead),
            ("FAILED ", State::Dead),
            ("pending", State::Available),
            ("active", State::Running),
            ("in progress", State::Running),
            ("in_progress", State::Running),
            ("delayed", State::Scheduled),
            ("canceled", State::Cancelled),
            ("succeeded", State::Completed),
        ] {
            assert_eq!(State::meant_by(word), Some(state), "{word}");
        }
        let parked = Stands { state: None, standing: Some(Standing::Parked) };
        let held = Stands { state: Some(State::Scheduled), standing: Some(Standing::Held) };
        let dead = Stands { state: Some(State::Dead), standing: None };
        for (word, stands) in [("Parked", parked), ("held", held), ("failed", dead)] {
            assert_eq!(Stands::meant_by(word), Some(stands), "{word}");
        }
        assert_eq!(Stands::nearest("praked").as_deref(), Some("parked"));
        assert_eq!(State::meant_by("nonsense"), None);
        assert_eq!(State::meant_by(""), None);
    }
}
