//! One attempt: the middleware chain around the handler, with panics caught, a hard time-out and cancellation.
//!
//! Panics and time-outs are turned into errors *inside* the chain, so that middleware sees them like any error;
//! a handler that does not stop when told is dropped after the grace. A handler that blocks its thread cannot be
//! dropped: use `tokio::task::spawn_blocking` for blocking work.
//!
//! The last thing before a handler begins is the question whether its lease can still hold: this process may have been
//! frozen, or its machine asleep, since it asked for the job.

use std::{
    any::Any, future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc, task::Poll, time::Duration,
};

use backshift_core::{Ack, ErrorClass, Failpoint, JobContext, JobError, JobResult, Next, Settlement};
use futures::FutureExt;
use tokio::{sync::OwnedSemaphorePermit, time::sleep};

use crate::{
    attempt::{Attempt, Places},
    engine::Engine,
    lonely::Pass,
    outcome::{Ended, Facts, Stop, decide, release},
    planted::{Bug, has},
    pool::Pool,
};

/// The word of a job that goes back unstarted.
const NOT_BEGUN: &str =
    "its lease may have ended before it could begin: this process was frozen, or very busy";
/// The error of a handler that was dropped at its time-out.
pub(crate) const TIMED_OUT: &str = "timed out";
/// How long a job that found no quiet moment to run alone stays away: short, so that another worker tries.
const LONELY_DELAY: Duration = Duration::from_secs(1);
/// How long it stays away while another one of the fleet runs alone: each look costs a delivery and a copy.
const SEAT_DELAY: Duration = Duration::from_secs(5);

/// Runs the attempt and hands its result to the settler; the slot is free then.
pub(crate) async fn execute(pool: Arc<Pool>, attempt: Arc<Attempt>, slot: OwnedSemaphorePermit, pass: Pass) {
    let slot = Some(slot).filter(|_| !has(Bug::FreesSlotsEarly));
    let alone = attempt.start.as_ref().is_some_and(|start| start.runs_alone());
    let (settlement, pass) = match alone {
        false => (run(&pool, &attempt).await, Some(pass)),
        true => (Box::pin(run_alone(&pool, &attempt, pass)).await, None),
    };
    attempt.end();
    let leaks = has(Bug::LeaksSlots) && panicked(settlement.as_ref());
    let room = pool.settler.room().await;
    pool.settler.end(&attempt, settlement, Places { room, pass });
    match leaks {
        true => std::mem::forget(slot),
        false => drop(slot),
    }
}

fn panicked(settlement: Option<&Settlement>) -> bool {
    let Some(Settlement::Retry(retry)) = settlement else { return false };
    retry.error.as_ref().is_some_and(|error| error.class == ErrorClass::Panic)
}

/// One of the whole fleet at a time: the worker that has it takes nothing else until it ran, the others go on.
async fn run_alone(pool: &Pool, attempt: &Arc<Attempt>, pass: Pass) -> Option<Settlement> {
    if !has_seat(pool, attempt).await {
        return lonely_later(pool, attempt, SEAT_DELAY, "it has to run alone, and another such job runs");
    }
    let alone = tokio::select! {
        biased;
        alone = pool.engine.gate.alone(pass, patience(pool, attempt)) => alone,
        () = attempt.out_of_patience(Duration::ZERO) => None,
    };
    match alone {
        Some(_alone) => {
            pool.engine.lonely_tries.forget(attempt.id());
            run(pool, attempt).await
        }
        None if attempt.stopped().is_some() => conclude(pool, attempt, Ended::Aborted),
        None => {
            pool.engine.lonely_tries.one_more(attempt.id());
            lonely_later(
                pool,
                attempt,
                LONELY_DELAY,
                "it has to run alone, and its neighbours did not end in time",
            )
        }
    }
}

fn lonely_later(pool: &Pool, attempt: &Attempt, delay: Duration, word: &str) -> Option<Settlement> {
    let delay = pool.engine.around(delay);
    Some(release(attempt.context.envelope(), attempt.number, delay, word))
}

/// On a SQL broker the claim took the seat as well.
async fn has_seat(pool: &Pool, attempt: &Attempt) -> bool {
    let (Some(store), Some(lease), true) = (&pool.store, attempt.lease(), attempt.ledger_first) else {
        return true;
    };
    match store.take_seat(lease).await {
        Ok(taken) => taken,
        Err(error) => {
            tracing::warn!(%error, job = %attempt.id(), "whether another job runs alone is unknown; later");
            false
        }
    }
}

/// How long this job waits for its neighbours to end: a short time at first, twice as long after each time that it was not enough,
/// up to the worker's time-out. So slots stand idle only for a moment where jobs are short, and where they are long it finds its turn
/// all the same.
fn patience(pool: &Pool, attempt: &Attempt) -> Duration {
    let options = &pool.engine.options;
    let before = pool.engine.lonely_tries.of(attempt.id());
    let longest = options.timeout.max(options.lonely_patience);
    options.lonely_patience.saturating_mul(1 << before.min(16)).min(longest)
}

async fn run(pool: &Pool, attempt: &Arc<Attempt>) -> Option<Settlement> {
    let engine = &pool.engine;
    attempt.begin();
    let panic = Arc::new(std::sync::OnceLock::new());
    // The innermost part outlives no borrow: it owns what it needs.
    let innermost = |context: JobContext| -> Pin<Box<dyn Future<Output = JobResult> + Send>> {
        let handler =
            Handling { engine: Arc::clone(engine), attempt: Arc::clone(attempt), panic: Arc::clone(&panic) };
        Box::pin(handler.run(context))
    };
    let chain = Next::new(&engine.chain, &innermost).run(attempt.context.clone());
    let mut chain = std::pin::pin!(AssertUnwindSafe(chain).catch_unwind());
    // Most handlers end at this first poll, the others wait long: what only a waiting one needs is made when it waits.
    let ended = match futures::poll!(chain.as_mut()) {
        Poll::Ready(ended) => Some(ended),
        Poll::Pending => Box::pin(patiently(chain, attempt, engine.options.handler_grace)).await,
    };
    let ended = match ended {
        Some(Ok(Err(_))) if panic.get().is_some() => {
            Ended::Panicked(panic.get().cloned().unwrap_or_default())
        }
        Some(Ok(result)) => Ended::Returned(result),
        Some(Err(payload)) => Ended::Panicked(text_of(payload.as_ref())),
        None => Ended::Aborted,
    };
    conclude(pool, attempt, ended)
}

/// What it ended with; `None` = it did not, although it was told to.
async fn patiently<F: Future>(chain: Pin<&mut F>, attempt: &Attempt, grace: Duration) -> Option<F::Output> {
    tokio::select! {
        biased;
        ended = chain => Some(ended),
        () = attempt.out_of_patience(grace) => None,
    }
}

/// The innermost part of the chain: the handler under its time-out.
struct Handling {
    engine: Arc<Engine>,
    attempt: Arc<Attempt>,
    panic: Arc<std::sync::OnceLock<String>>,
}

impl Handling {
    async fn run(self, context: JobContext) -> JobResult {
        let engine = Arc::clone(&self.engine);
        if self.attempt.may_be_lost(engine.options.lease) && !has(Bug::StartsAfterTheLease) {
            tracing::warn!(job = %self.attempt.id(), "not started: its lease may have ended meanwhile");
            return Err(JobError::snooze(Duration::ZERO, NOT_BEGUN));
        }
        let handler = async move {
            Failpoint::BeforeEffect.pass();
            match engine.registry.handle(context) {
                Some(handler) => handler.await.inspect(|()| Failpoint::AfterEffect.pass()),
                None => Err(JobError::snooze(Duration::from_secs(60), "no handler for this kind")),
            }
        };
        let mut handler = std::pin::pin!(AssertUnwindSafe(handler).catch_unwind());
        let ended = match futures::poll!(handler.as_mut()) {
            Poll::Ready(ended) => ended,
            Poll::Pending => Box::pin(self.within_its_time(handler)).await,
        };
        ended.unwrap_or_else(|payload| {
            let text = text_of(payload.as_ref());
            let error = JobError::retry(format!("the handler panicked: {text}"));
            // Set once: a handler panics once.
            let _ = self.panic.set(text);
            Err(error)
        })
    }

    async fn within_its_time<F>(&self, mut handler: Pin<&mut F>) -> F::Output
    where
        F: Future<Output = std::thread::Result<JobResult>>,
    {
        tokio::select! {
            biased;
            ended = &mut handler => ended,
            () = sleep(self.attempt.timeout), if !has(Bug::NeverTimesOut) => {
                self.attempt.stop(Stop::Timeout);
                tokio::select! {
                    biased;
                    ended = &mut handler => ended,
                    () = sleep(self.engine.options.handler_grace) => Ok(Err(JobError::retry(TIMED_OUT))),
                }
            }
        }
    }
}

fn conclude(pool: &Pool, attempt: &Attempt, ended: Ended) -> Option<Settlement> {
    let (engine, envelope) = (&pool.engine, attempt.context.envelope());
    let kind = engine.kind_options(&envelope.kind);
    let own_limit = attempt.start.as_ref().and_then(|start| start.max_attempts).or(envelope.max_attempts);
    let facts = Facts {
        envelope,
        attempt: attempt.number,
        max_attempts: own_limit.or(kind.max_attempts).unwrap_or(engine.options.max_attempts),
        backoff: kind.backoff.unwrap_or(engine.options.backoff),
        timeout: attempt.timeout,
        strict: kind.strict || engine.options.strict,
        said: attempt.context.said(),
        stop: attempt.stopped(),
    };
    let settlement = engine.random(|rng| decide(facts, ended, &pool.budget, rng));
    if attempt.stopped() == Some(Stop::Shutdown)
        && matches!(&settlement, Some(Settlement::Retry(retry)) if !retry.counted)
    {
        engine.went_back(attempt);
    }
    log(attempt, settlement.as_ref());
    settlement
}

fn log(attempt: &Attempt, settlement: Option<&Settlement>) {
    let (job, kind, number) = (attempt.id(), attempt.context.kind(), attempt.number);
    match settlement {
        Some(Settlement::Ack(Ack::Cancelled)) if attempt.stopped() == Some(Stop::CancelRequested) => {
            // Who cancelled it is not known here: the wish came through the store, which has written that down.
            tracing::info!(%job, %kind, attempt = number, "cancelled by hand: the handler was asked to stop and did");
        }
        Some(Settlement::Ack(Ack::Cancelled)) => {
            tracing::info!(%job, %kind, attempt = number, "cancelled by its handler");
        }
        Some(Settlement::Ack(_)) => tracing::debug!(%job, %kind, attempt = number, "settled: over"),
        Some(Settlement::Retry(retry)) => {
            let error = retry.error.as_ref().map(|error| error.message.as_str());
            let (counted, delay) = (retry.counted, retry.delay);
            tracing::info!(%job, %kind, attempt = number, counted, ?delay, error, "runs again later");
        }
        Some(Settlement::DeadLetter(letter)) => {
            let (reason, error) = (letter.reason, letter.error.message.as_str());
            tracing::error!(%job, %kind, attempt = number, %reason, error, "dead letter");
        }
        None => tracing::warn!(%job, %kind, attempt = number, "stopped: its lease is over"),
    }
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without text".to_owned()).chars().take(500).collect()
}
