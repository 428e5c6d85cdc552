//! One attempt: the middleware chain around the handler, with panics caught, a hard time-out and cancellation.
//!
//! Panics and time-outs are turned into errors *inside* the chain, so that middleware sees them like any error;
//! a handler that does not stop when told is dropped after the grace. A handler that blocks its thread cannot be
//! dropped: use `tokio::task::spawn_blocking` for blocking work.

use std::{
    any::Any, future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc, task::Poll, time::Duration,
};

use backshift_core::{
    Ack, Completion, ErrorClass, Failpoint, JobContext, JobError, JobResult, Next, Settlement,
};
use futures::FutureExt;
use tokio::{sync::OwnedSemaphorePermit, time::sleep};

use crate::{
    attempt::{Attempt, Places},
    lonely::Pass,
    outcome::{Ended, Facts, Stop, decide, release},
    planted::{Bug, has},
    pool::{Engine, Pool},
    settling::Parting,
};

/// The error of a handler that was dropped at its time-out.
pub(crate) const TIMED_OUT: &str = "timed out";
/// How long a job that found no quiet moment to run alone stays away.
const LONELY_DELAY: Duration = Duration::from_secs(30);

/// Runs the attempt and hands its result to the settler; the slot is free then.
pub(crate) async fn execute(pool: Arc<Pool>, attempt: Arc<Attempt>, slot: OwnedSemaphorePermit, pass: Pass) {
    if has(Bug::AcksBeforeTheEffect) {
        let done = Settlement::Ack(Ack::Completed(Completion::default()));
        let leaving = attempt.part(Parting::Settle(done), Places::default());
        pool.leave(Arc::clone(&attempt), leaving);
    }
    let slot = Some(slot).filter(|_| !has(Bug::FreesSlotsEarly));
    let alone = attempt.start.as_ref().is_some_and(|start| start.runs_alone());
    let (parting, pass) = match alone {
        false => (run(&pool, &attempt).await, Some(pass)),
        true => (Box::pin(run_alone(&pool, &attempt, pass)).await, None),
    };
    attempt.end();
    let leaks = has(Bug::LeaksSlots) && panicked(&parting);
    let room = pool.settler.room().await;
    let leaving = attempt.part(parting, Places { room, pass });
    pool.leave(attempt, leaving);
    match leaks {
        true => std::mem::forget(slot),
        false => drop(slot),
    }
}

fn panicked(parting: &Parting) -> bool {
    let Parting::Settle(Settlement::Retry(retry)) = parting else { return false };
    retry.error.as_ref().is_some_and(|error| error.class == ErrorClass::Panic)
}

async fn run_alone(pool: &Pool, attempt: &Attempt, pass: Pass) -> Parting {
    let patience = pool.engine.options.lonely_patience;
    let alone = tokio::select! {
                biased;
        alone = pool.engine.gate.alone(pass, patience) => alone,
        () = attempt.out_of_patience(Duration::ZERO) => None,
    };
    match alone {
        Some(_alone) => run(pool, attempt).await,
        None if attempt.stopped().is_some() => conclude(pool, attempt, Ended::Aborted),
        None => {
            let word = "it has to run alone, and its neighbours did not end in time";
            let delay = pool.engine.around(LONELY_DELAY);
            Parting::Settle(release(attempt.context.envelope(), attempt.number, delay, word))
        }
    }
}

async fn run(pool: &Pool, attempt: &Attempt) -> Parting {
    let engine = &pool.engine;
    attempt.begin();
    let panic = Arc::new(std::sync::OnceLock::new());
    // The innermost part outlives no borrow: it owns what it needs.
    let innermost = |context: JobContext| -> Pin<Box<dyn Future<Output = JobResult> + Send>> {
        let handler = Handling {
            engine: Arc::clone(engine),
            stop: attempt.stopper(),
            timeout: attempt.timeout,
            panic: Arc::clone(&panic),
        };
        Box::pin(handler.run(context))
    };
    let chain = Next::new(&engine.chain, &innermost).run(attempt.context.clone());
    let mut chain = std::pin::pin!(AssertUnwindSafe(chain).catch_unwind());
    // Most handlers end here or wait long: what only a waiting one needs is made when it waits.
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
    stop: crate::attempt::Stopper,
    timeout: Duration,
    panic: Arc<std::sync::OnceLock<String>>,
}

impl Handling {
    async fn run(self, context: JobContext) -> JobResult {
        let engine = Arc::clone(&self.engine);
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
            () = sleep(self.timeout), if !has(Bug::NeverTimesOut) => {
                self.stop.stop(Stop::Timeout);
                tokio::select! {
                    biased;
                    ended = &mut handler => ended,
                    () = sleep(self.engine.options.handler_grace) => Ok(Err(JobError::retry(TIMED_OUT))),
                }
            }
        }
    }
}

fn conclude(pool: &Pool, attempt: &Attempt, ended: Ended) -> Parting {
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
    log(attempt, settlement.as_ref());
    settlement.map_or(Parting::Abandon, Parting::Settle)
}

fn log(attempt: &Attempt, settlement: Option<&Settlement>) {
    let (job, kind, number) = (attempt.id(), attempt.context.kind(), attempt.number);
    match settlement {
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
