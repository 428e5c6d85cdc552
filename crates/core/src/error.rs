//! How an attempt can end badly, and what that means for the job.
//!
//! `?` on any error means *try again*, and uncounted when it is the store or the broker that is away; everything
//! else is said explicitly. Any error is whatever becomes a `Box<dyn Error + Send + Sync>`: every error type, such a box
//! itself, `anyhow::Error`. [`JobError`] deliberately does not implement `std::error::Error`, because that would forbid
//! the blanket conversion that makes `?` work (`anyhow::Error` does not either, for the same reason). Where an `Error` is asked
//! for, [`JobError::into_error`] makes one.

use std::{any::Any, error::Error, fmt, io, iter, time::Duration};

use crate::{BrokerError, EnqueueError, StoreError};

/// What a handler returns: `Ok(())` completes the job, `?` on an error runs it again later, and [`JobError`] says
/// everything else.
///
/// ```
/// # use backshift_core as backshift;
/// use backshift::{JobError, JobResult};
///
/// fn charge(answer: &str) -> JobResult {
///     let cents: i64 = answer.parse()?; // no number: run again after back-off
///     if cents < 0 {
///         return Err(JobError::permanent("a negative amount")); // running again cannot help
///     }
///     Ok(())
/// }
/// assert!(charge("500").is_ok());
/// ```
pub type JobResult = Result<(), JobError>;

/// How long a job stays away whose attempt met a store or broker that is away: no attempt counts for that.
pub const OUTAGE_PAUSE: Duration = Duration::from_secs(5);

/// An attempt that did not complete the job.
///
/// It does not implement [`std::error::Error`], because then `?` could not turn other errors into it. Where an `Error` is wanted it
/// becomes one, and later a `JobError` again with the same verdict: by `?` in a function that returns `anyhow::Error` or
/// `Box<dyn Error>`, by [`Self::into_error`] everywhere else.
///
/// `?` makes one of every error that a `Box<dyn Error + Send + Sync>` can be made of, `anyhow::Error` and such boxes
/// included; a `JobError` inside an `anyhow::Error` keeps its meaning. For anything else that can be printed:
/// `map_err(JobError::retry)`.
///
/// ```
/// # use backshift_core as backshift;
/// use std::time::Duration;
/// use backshift::{JobError, JobResult, Verdict};
///
/// fn read(path: &str) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
///     Ok(std::fs::read_to_string(path)?)
/// }
///
/// fn handle(path: &str) -> JobResult {
///     let text = read(path)?; // an error: run again after back-off
///     match text.as_str() {
///         "" => Err(JobError::permanent("the file is empty")), // never again: a dead letter
///         "busy" => Err(JobError::snooze(Duration::from_secs(30), "busy")), // later, and no attempt counts
///         _ => Ok(()),
///     }
/// }
/// assert_eq!(*handle("/no/such/file").unwrap_err().verdict(), Verdict::Retry);
/// ```
#[derive(Debug)]
pub struct JobError {
    verdict: Verdict,
    message: String,
}

/// What a [`JobError`] means for the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Run again after back-off; counts as an attempt.
    Retry,
    /// The other side asked for a pause: equal jitter and at least `after`; counts as an attempt.
    Throttled {
        /// What the other side asked for (`Retry-After`), if anything.
        after: Option<Duration>,
    },
    /// Come back after this time; counts as no attempt.
    Snooze(Duration),
    /// Never run again; kept among the dead letters.
    DeadLetter(Reason),
    /// End as cancelled.
    Cancel,
}

/// Why a job is dead: the fixed set of values of `backshift-reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The bytes are no job.
    Malformed,
    /// The handler said that trying again cannot help.
    Permanent,
    /// Every allowed attempt failed.
    AttemptsExhausted,
    /// It ended its worker's process too often while it ran alone.
    CrashLoop,
    /// Nobody can know whether the effect happened, and the policy is to hold.
    Ambiguous,
    /// The payload is larger than the worker accepts.
    TooLarge,
    /// Another job with this id carries another payload.
    IdConflict,
    /// It is too late for the job to be useful.
    Expired,
}

impl Reason {
    /// The wire form, as in the header `backshift-reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Permanent => "permanent",
            Self::AttemptsExhausted => "attempts-exhausted",
            Self::CrashLoop => "crash-loop",
            Self::Ambiguous => "ambiguous",
            Self::TooLarge => "too-large",
            Self::IdConflict => "id-conflict",
            Self::Expired => "expired",
        }
    }

    /// Reads the wire form.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Malformed,
            Self::Permanent,
            Self::AttemptsExhausted,
            Self::CrashLoop,
            Self::Ambiguous,
            Self::TooLarge,
            Self::IdConflict,
            Self::Expired,
        ]
        .into_iter()
        .find(|reason| reason.as_str() == text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl JobError {
    /// Try again after back-off.
    pub fn retry(message: impl fmt::Display) -> Self {
        Self { verdict: Verdict::Retry, message: message.to_string() }
    }

    /// Trying again cannot help: dead letter at once.
    pub fn permanent(message: impl fmt::Display) -> Self {
        Self::dead_letter(Reason::Permanent, message)
    }

    /// The other side is too busy; `after` is what it asked for.
    pub fn throttled(after: Option<Duration>, message: impl fmt::Display) -> Self {
        Self { verdict: Verdict::Throttled { after }, message: message.to_string() }
    }

    /// Come back later without counting an attempt.
    pub fn snooze(delay: Duration, message: impl fmt::Display) -> Self {
        Self { verdict: Verdict::Snooze(delay), message: message.to_string() }
    }

    /// Keep the job among the dead letters for a stated reason.
    pub fn dead_letter(reason: Reason, message: impl fmt::Display) -> Self {
        Self { verdict: Verdict::DeadLetter(reason), message: message.to_string() }
    }

    /// End the job as cancelled.
    pub fn cancel(message: impl fmt::Display) -> Self {
        Self { verdict: Verdict::Cancel, message: message.to_string() }
    }

    /// What it means for the job.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// As an error like any other, for code that passes errors on. `?` in a handler gives it back with its meaning, also out of
    /// another error that has it as its source.
    ///
    /// ```
    /// # use backshift_core as backshift;
    /// use backshift::{JobError, JobResult, Reason, Verdict};
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// #[error("the bill could not be sent")]
    /// struct Unsent(#[source] Box<dyn std::error::Error + Send + Sync>);
    ///
    /// fn send() -> Result<(), Unsent> {
    ///     Err(Unsent(JobError::permanent("no such address").into_error()))
    /// }
    ///
    /// fn handle() -> JobResult {
    ///     Ok(send()?)
    /// }
    /// let error = handle().unwrap_err();
    /// assert_eq!(*error.verdict(), Verdict::DeadLetter(Reason::Permanent));
    /// assert_eq!(error.message(), "the bill could not be sent: no such address");
    /// ```
    pub fn into_error(self) -> Box<dyn Error + Send + Sync> {
        Box::new(Carried(self))
    }

    /// The text with all causes.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E> From<E> for JobError
where
    E: Into<Box<dyn Error + Send + Sync>> + 'static,
{
    fn from(error: E) -> Self {
        match of_anyhow(error) {
            Ok(known) => known,
            Err(error) => {
                let error: Box<dyn Error + Send + Sync> = error.into();
                of_chain(error.as_ref())
            }
        }
    }
}

/// A [`JobError`] where an `Error` is asked for. What caused it stands in its text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Carried(JobError);

/// Only for the box without `Send`. `?` turns whatever can become a box that is `Send` into a `JobError`; could a `JobError` become
/// one, that conversion would collide with the standard library's `From<T> for T`.
impl From<JobError> for Box<dyn Error> {
    fn from(error: JobError) -> Self {
        Box::new(Carried(error))
    }
}

impl From<JobError> for anyhow::Error {
    fn from(error: JobError) -> Self {
        // As `bail!` makes it: whoever looks for a `JobError` inside finds one.
        Self::msg(error)
    }
}

/// Made into a box, an `anyhow::Error` hides what it was made of, so it is searched for a `JobError` before that.
fn of_anyhow<E: 'static>(error: E) -> Result<JobError, E> {
    let mut error = Some(error);
    let slot: &mut dyn Any = &mut error;
    let taken = slot.downcast_mut::<Option<anyhow::Error>>().and_then(Option::take);
    match (taken, error) {
        (Some(report), _) => {
            let said = report.downcast_ref::<JobError>().map(|inside| inside.verdict.clone());
            let error = of_chain(report.as_ref());
            Ok(JobError { verdict: said.unwrap_or(error.verdict), ..error })
        }
        (None, Some(error)) => Err(error),
        // Cannot happen: an error that was not taken is still there.
        (None, None) => Ok(JobError::retry("an error without a text")),
    }
}

fn of_chain(first: &(dyn Error + 'static)) -> JobError {
    let causes = iter::successors(Some(first), |&cause| cause_of(cause));
    let mut message = String::new();
    let (mut outage, mut said) = (false, None);
    for cause in causes {
        let text = cause.to_string();
        if message.is_empty() {
            message = text;
        } else if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        outage |= is_outage(cause);
        said = said.or_else(|| cause.downcast_ref::<Carried>().map(|carried| carried.0.verdict.clone()));
    }
    let by_itself = if outage { Verdict::Snooze(OUTAGE_PAUSE) } else { Verdict::Retry };
    let verdict = said.unwrap_or(by_itself);
    JobError { verdict, message }
}

/// What lies below an error. An [`io::Error`] that was made from another error shows it here only: its own `source`
/// is the one *below* that.
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// Whether the store or the broker is away: an outage of theirs never counts as an attempt.
fn is_outage(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<StoreError>().is_some_and(StoreError::is_outage)
        || cause.downcast_ref::<BrokerError>().is_some_and(BrokerError::is_outage)
        || cause.downcast_ref::<EnqueueError>().is_some_and(EnqueueError::is_outage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_mark_means_retry_and_keeps_the_causes() {
        fn parse() -> JobResult {
            "x".parse::<u32>()?;
            Ok(())
        }
        let error = parse().unwrap_err();
        assert_eq!(*error.verdict(), Verdict::Retry);
        assert!(error.message().contains("invalid digit"));
    }

    #[test]
    fn an_outage_of_store_or_broker_is_no_attempt() {
        #[derive(Debug, thiserror::Error)]
        #[error("the account could not be saved")]
        struct Wrapped(#[source] StoreError);
        let away = || StoreError::Unavailable("connection refused".into());
        let gone = BrokerError::Unavailable { broker: "b", problem: "gone".into() };
        let carried = io::Error::other(Wrapped(away()));
        let twice = io::Error::other(io::Error::new(io::ErrorKind::BrokenPipe, away()));
        let locked_out = || StoreError::Unusable("the password is wrong".into());
        for error in [
            away().into(),
            EnqueueError::Store(away()).into(),
            gone.into(),
            Wrapped(away()).into(),
            carried.into(),
            twice.into(),
            locked_out().into(),
            EnqueueError::Store(locked_out()).into(),
            EnqueueError::Broker(BrokerError::of_store("b", locked_out())).into(),
            BrokerError::of_store("b", StoreError::Schema("of another version".into())).into(),
        ] {
            let error: JobError = error;
            assert_eq!(*error.verdict(), Verdict::Snooze(OUTAGE_PAUSE), "{error}");
        }
        let twice = JobError::from(io::Error::other(Wrapped(away())));
        assert_eq!(twice.message().matches("could not be saved").count(), 1, "{twice}");
        assert!(twice.message().contains("connection refused"), "{twice}");
        let refused = JobError::from(StoreError::Rejected("too long".into()));
        assert_eq!(*refused.verdict(), Verdict::Retry);
    }

    #[test]
    fn question_mark_takes_boxed_errors_and_anyhow_and_what_is_inside_keeps_its_meaning() {
        type Boxed = Box<dyn Error + Send + Sync>;
        fn boxed() -> Result<(), Boxed> {
            Err(io::Error::other("the disk is full"))?
        }
        fn report() -> anyhow::Result<()> {
            Err(anyhow::Error::new(io::Error::other("no route")).context("asking the relay"))
        }
        fn handler(first: fn() -> Result<(), Boxed>, second: fn() -> anyhow::Result<()>) -> JobResult {
            first()?;
            second()?;
            Ok(())
        }
        let of = |first, second| handler(first, second).unwrap_err();
        let full = of(boxed, report);
        assert_eq!((full.verdict(), full.message()), (&Verdict::Retry, "the disk is full"));
        let relay = of(|| Ok(()), report);
        assert_eq!((relay.verdict(), relay.message()), (&Verdict::Retry, "asking the relay: no route"));
        let text: JobError = "only words".into();
        assert_eq!(text.message(), "only words");
    }

    #[test]
    fn a_job_error_passes_through_code_of_others_and_keeps_its_meaning() {
        fn boxed() -> Result<(), Box<dyn Error>> {
            Ok(Err(JobError::permanent("no such account"))?)
        }
        fn report() -> anyhow::Result<()> {
            Ok(Err(JobError::snooze(Duration::from_secs(9), "busy"))?)
        }
        fn handler() -> JobResult {
            report()?;
            Ok(())
        }
        assert_eq!(boxed().unwrap_err().to_string(), "no such account");
        let later = Verdict::Snooze(Duration::from_secs(9));
        assert_eq!((handler().unwrap_err().verdict(), handler().unwrap_err().message()), (&later, "busy"));
        assert!(report().unwrap_err().downcast_ref::<JobError>().is_some());
        let under = JobError::from(report().unwrap_err().context("asking the bank"));
        assert_eq!((under.verdict(), under.message()), (&later, "asking the bank: busy"));
        let again = JobError::from(JobError::cancel("nobody wants it").into_error());
        assert_eq!((again.verdict(), again.message()), (&Verdict::Cancel, "nobody wants it"));
    }

    #[test]
    fn an_outage_and_a_verdict_inside_anyhow_are_found() {
        let away = || StoreError::Unavailable("connection refused".into());
        for report in [anyhow::Error::new(away()), anyhow::Error::new(away()).context("loading the account")]
        {
            let error = JobError::from(report);
            assert_eq!(*error.verdict(), Verdict::Snooze(OUTAGE_PAUSE), "{error}");
            assert!(error.message().contains("connection refused"), "{error}");
        }
        let boxed: Box<dyn Error + Send + Sync> = away().into();
        assert_eq!(*JobError::from(boxed).verdict(), Verdict::Snooze(OUTAGE_PAUSE));
        let never = JobError::from(anyhow::Error::msg(JobError::permanent("no such account")));
        assert_eq!(*never.verdict(), Verdict::DeadLetter(Reason::Permanent));
        let never =
            JobError::from(anyhow::anyhow!(JobError::permanent("no such account")).context("charging"));
        assert_eq!(*never.verdict(), Verdict::DeadLetter(Reason::Permanent));
        assert_eq!(never.message(), "charging: no such account");
    }
}
