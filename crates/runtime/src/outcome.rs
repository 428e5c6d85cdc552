//! What the end of an attempt means for its job. Pure: facts in, settlement out.
//!
//! Only errors, panics and time-outs count as attempts; everything that the worker itself caused (shutdown, a
//! store that went away) goes back uncounted (docs/contracts/probe.md, "Decided details").

use std::time::Duration;

use backshift_core::{
    Ack, Backoff, Completion, DeadLetter, Envelope, ErrorClass, ErrorReport, JobError, JobResult, Reason,
    Retry, Settlement, Verdict, context::Said,
};
use rand::Rng;

use crate::{
    backoff,
    planted::{Bug, has},
    retry_budget::RetryBudget,
};

/// Why the engine told a handler to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The hard time-out ran out.
    Timeout,
    /// A person cancelled the job.
    CancelRequested,
    /// The store said that the lease is over.
    LeaseLost,
    /// No heartbeat was confirmed for two thirds of the lease.
    Unconfirmed,
    /// The worker stops.
    Shutdown,
}

/// How the handler ended.
#[derive(Debug)]
pub enum Ended {
    /// It returned.
    Returned(JobResult),
    /// It panicked with this text.
    Panicked(String),
    /// It went on after it was told to stop, and was aborted.
    Aborted,
}

/// Everything that decides about the settlement.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The job as it ran.
    pub envelope: &'a Envelope,
    /// 1 + counted failures, by the ledger where there is one.
    pub attempt: u32,
    /// How many attempts the job may take.
    pub max_attempts: u32,
    /// The back-off of its kind.
    pub backoff: Backoff,
    /// The time-out of its kind, for the text.
    pub timeout: Duration,
    /// Whether the completion must be as durable as an effect.
    pub strict: bool,
    /// What the handler said.
    pub said: Said,
    /// Why it was told to stop, if it was.
    pub stop: Option<Stop>,
}

/// The settlement; `None` = the lease is over and nobody would accept one.
pub fn decide(
    facts: Facts<'_>,
    ended: Ended,
    budget: &RetryBudget,
    rng: &mut impl Rng,
) -> Option<Settlement> {
    if let Ended::Returned(Ok(())) = ended {
        budget.success();
        let Said { output, note, finished_in_transaction: in_transaction, .. } = facts.said;
        let completion = Completion { output, note, strict: facts.strict, in_transaction };
        return Some(Settlement::Ack(Ack::Completed(completion)));
    }
    let explicit = |verdict: &Verdict| !matches!(verdict, Verdict::Retry | Verdict::Throttled { .. });
    if let Ended::Returned(Err(error)) = &ended
        && explicit(error.verdict())
        && facts.stop != Some(Stop::LeaseLost)
        // A person cancelled the job, and its handler asks for a later run: there is none.
        && !(facts.stop == Some(Stop::CancelRequested) && matches!(error.verdict(), Verdict::Snooze(_)))
    {
        return Some(said_so(&facts, error));
    }
    match facts.stop {
        Some(Stop::LeaseLost) => None,
        Some(Stop::CancelRequested) => Some(Settlement::Ack(Ack::Cancelled)),
        Some(Stop::Shutdown) if has(Bug::CountsShutdowns) => Some(by_itself(&facts, ended, budget, rng)),
        Some(Stop::Unconfirmed) if has(Bug::CountsOutages) => Some(by_itself(&facts, ended, budget, rng)),
        Some(Stop::Shutdown) => {
            Some(release(facts.envelope, facts.attempt, Duration::ZERO, "the worker stopped"))
        }
        Some(Stop::Unconfirmed) => {
            let word = "the store could not be reached, so the lease was about to end";
            Some(release(facts.envelope, facts.attempt, Duration::ZERO, word))
        }
        Some(Stop::Timeout) => {
            let text = format!("the attempt took longer than its time-out of {:?}", facts.timeout);
            Some(failed(&facts, ErrorReport::new(ErrorClass::Timeout, text), None, budget, rng))
        }
        None => Some(by_itself(&facts, ended, budget, rng)),
    }
}

/// Puts the job back without counting an attempt.
pub fn release(envelope: &Envelope, attempt: u32, delay: Duration, word: &str) -> Settlement {
    let next = Envelope { attempt, run_at: None, ..envelope.clone() };
    let error = Some(ErrorReport::new(ErrorClass::Released, word));
    Settlement::Retry(Box::new(Retry { next, delay, counted: false, error }))
}

/// A verdict that needs no back-off.
fn said_so(facts: &Facts<'_>, error: &JobError) -> Settlement {
    match error.verdict() {
        Verdict::Snooze(delay) => release(facts.envelope, facts.attempt, *delay, error.message()),
        Verdict::DeadLetter(reason) => {
            let error = ErrorReport::new(ErrorClass::Error, error.message());
            Settlement::DeadLetter(DeadLetter { reason: *reason, error, attempt: facts.attempt })
        }
        _ => Settlement::Ack(Ack::Cancelled),
    }
}

fn by_itself(facts: &Facts<'_>, ended: Ended, budget: &RetryBudget, rng: &mut impl Rng) -> Settlement {
    let (class, text, throttled) = match ended {
        Ended::Returned(Err(error)) => {
            let throttled = match error.verdict() {
                Verdict::Throttled { after } => Some(*after),
                _ => None,
            };
            (ErrorClass::Error, error.message().to_owned(), throttled)
        }
        Ended::Panicked(text) => (ErrorClass::Panic, text, None),
        Ended::Aborted | Ended::Returned(Ok(())) => {
            (ErrorClass::Error, "the handler was aborted".to_owned(), None)
        }
    };
    failed(facts, ErrorReport::new(class, text), throttled, budget, rng)
}

/// A counted failure: the next attempt, or the end of them.
fn failed(
    facts: &Facts<'_>,
    error: ErrorReport,
    throttled: Option<Option<Duration>>,
    budget: &RetryBudget,
    rng: &mut impl Rng,
) -> Settlement {
    let attempt = facts.attempt;
    if attempt >= facts.max_attempts {
        return Settlement::DeadLetter(DeadLetter { reason: Reason::AttemptsExhausted, error, attempt });
    }
    let delay = match throttled {
        Some(after) => backoff::throttled(facts.backoff, attempt, after, rng),
        None => backoff::transient(facts.backoff, attempt, rng),
    };
    let delay = budget.retry(delay, backoff::ceiling(facts.backoff, attempt), facts.backoff.cap);
    let next = Envelope { attempt: attempt.saturating_add(1), run_at: None, ..facts.envelope.clone() };
    Settlement::Retry(Box::new(Retry { next, delay, counted: true, error: Some(error) }))
}

#[cfg(test)]
mod tests {
    use backshift_core::{Kind, QueueName, Timestamp};
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    fn settle(attempt: u32, stop: Option<Stop>, ended: Ended) -> Option<Settlement> {
        let (kind, queue) = (Kind::new("a").unwrap(), QueueName::new("q").unwrap());
        let envelope = Envelope::new(kind, queue, "{}", Timestamp::UNIX_EPOCH);
        let facts = Facts {
            envelope: &envelope,
            attempt,
            max_attempts: 3,
            backoff: Backoff::default(),
            timeout: Duration::from_secs(7),
            strict: false,
            said: Said::default(),
            stop,
        };
        decide(facts, ended, &RetryBudget::default(), &mut SmallRng::seed_from_u64(1))
    }

    fn error(error: JobError) -> Ended {
        Ended::Returned(Err(error))
    }

    fn retry(settlement: Option<Settlement>) -> Retry {
        match settlement {
            Some(Settlement::Retry(retry)) => *retry,
            other => panic!("no retry but {other:?}"),
        }
    }

    fn dead(settlement: Option<Settlement>) -> DeadLetter {
        match settlement {
            Some(Settlement::DeadLetter(letter)) => letter,
            other => panic!("no dead letter but {other:?}"),
        }
    }

    #[test]
    fn success_completes_even_when_the_handler_was_told_to_stop() {
        for stop in [None, Some(Stop::Shutdown), Some(Stop::CancelRequested), Some(Stop::LeaseLost)] {
            let settlement = settle(1, stop, Ended::Returned(Ok(())));
            assert!(matches!(settlement, Some(Settlement::Ack(Ack::Completed(_)))), "{stop:?}");
        }
    }

    #[test]
    fn errors_panics_and_time_outs_count() {
        let cases = [
            (None, error(JobError::retry("x")), ErrorClass::Error),
            (None, Ended::Panicked("x".into()), ErrorClass::Panic),
            (Some(Stop::Timeout), Ended::Aborted, ErrorClass::Timeout),
            (Some(Stop::Timeout), error(JobError::retry("x")), ErrorClass::Timeout),
        ];
        for (stop, ended, class) in cases {
            let retry = retry(settle(1, stop, ended));
            assert!(retry.counted && retry.next.attempt == 2);
            assert_eq!(retry.error.unwrap().class, class);
        }
    }

    #[test]
    fn the_last_attempt_is_followed_by_the_dead_letter() {
        let letter = dead(settle(3, None, error(JobError::retry("x"))));
        assert_eq!((letter.reason, letter.attempt), (Reason::AttemptsExhausted, 3));
        assert_eq!(dead(settle(9, Some(Stop::Timeout), Ended::Aborted)).reason, Reason::AttemptsExhausted);
    }

    #[test]
    fn shutdown_snooze_and_a_lost_store_count_nothing() {
        let snooze = retry(settle(3, None, error(JobError::snooze(Duration::from_secs(9), "later"))));
        assert_eq!((snooze.counted, snooze.next.attempt, snooze.delay.as_secs()), (false, 3, 9));
        for stop in [Stop::Shutdown, Stop::Unconfirmed] {
            for ended in [Ended::Aborted, error(JobError::retry("cancelled")), Ended::Panicked("x".into())] {
                let retry = retry(settle(3, Some(stop), ended));
                assert_eq!((retry.counted, retry.next.attempt, retry.delay), (false, 3, Duration::ZERO));
            }
        }
    }

    #[test]
    fn explicit_verdicts_win_over_a_stop_but_not_over_a_lost_lease() {
        assert_eq!(dead(settle(1, None, error(JobError::permanent("x")))).reason, Reason::Permanent);
        assert_eq!(
            dead(settle(1, Some(Stop::Shutdown), error(JobError::permanent("x")))).reason,
            Reason::Permanent
        );
        assert!(settle(1, Some(Stop::LeaseLost), error(JobError::permanent("x"))).is_none());
        assert!(settle(1, Some(Stop::LeaseLost), Ended::Aborted).is_none());
        let cancelled = Some(Settlement::Ack(Ack::Cancelled));
        assert_eq!(settle(1, None, error(JobError::cancel("x"))), cancelled);
        assert_eq!(settle(1, Some(Stop::CancelRequested), Ended::Aborted), cancelled);
        let later = || error(JobError::snooze(Duration::ZERO, "the worker stops"));
        assert_eq!(
            settle(1, Some(Stop::CancelRequested), later()),
            cancelled,
            "it is told by the hand that did it"
        );
        assert!(!retry(settle(1, Some(Stop::Shutdown), later())).counted);
    }

    #[test]
    fn throttling_waits_at_least_as_long_as_asked() {
        let after = Some(Duration::from_secs(77));
        let retry = retry(settle(1, None, error(JobError::throttled(after, "slow down"))));
        assert!(retry.counted && retry.delay >= Duration::from_secs(77));
    }
}
