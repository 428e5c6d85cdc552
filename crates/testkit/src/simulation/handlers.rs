//! The handlers of a simulated worker: each reads its script and plays it, and tells the book what it did.
//!
//! Whatever a handler does to the world it does only while its worker is awake: a dead worker does nothing more,
//! and a frozen one does it when it wakes up, which may be too late.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    DynMiddleware, EffectState, JobContext, JobError, JobOptions, JobResult, Kind, Reason, Registry,
    error::OUTAGE_PAUSE,
    store::{BreakerPolicy, Rate},
};
use backshift_runtime::middleware::{Breaker, Concurrency, RateLimit};
use tokio::time::sleep;

use super::{
    book::{Book, Deed, Running, short},
    line::Line,
    rules::Rule,
    script::{End, Failing, Script, TIMEOUT},
    weather::Weather,
};
use crate::memory::{MemoryStore, TokioClock};

pub(super) const PLAIN: &str = "sim.plain";
/// A circuit breaker guards it.
pub(super) const GUARDED: &str = "sim.guarded";
/// At most [`PLACES`] of it run at once.
pub(super) const LIMITED: &str = "sim.limited";
/// It begins at most at [`RATE`].
pub(super) const RATED: &str = "sim.rated";
/// Only newer workers know it.
pub(super) const FRESH: &str = "sim.fresh";
/// The calendar enqueues it.
pub(super) const TICK: &str = "sim.tick";

/// The places of [`LIMITED`].
pub(super) const PLACES: u32 = 2;
/// The rate of [`RATED`].
pub(super) const RATE: Rate = Rate { count: 4, per: Duration::from_secs(20) };
/// Larger payloads are not worked, in bytes.
pub(super) const MAX_PAYLOAD: usize = 4096;

/// What the handlers of one worker work with.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) book: Book,
    pub(super) line: Line,
    pub(super) weather: Weather,
    /// Over the worker's own line.
    pub(super) store: MemoryStore,
    pub(super) clock: TokioClock,
}

impl Desk {
    /// Every kind that a worker knows; older ones do not know [`FRESH`].
    pub(super) fn registry(&self, knows_fresh: bool) -> Registry {
        let options = |dependency| JobOptions { timeout: Some(TIMEOUT), dependency, ..JobOptions::default() };
        let kinds = [PLAIN, GUARDED, LIMITED, RATED, TICK].into_iter();
        let mut registry = Registry::default();
        for kind in kinds.chain(knows_fresh.then_some(FRESH)) {
            let desk = Arc::new(self.clone());
            let play = move |context| Arc::clone(&desk).play(context);
            let dependency = (kind == GUARDED).then_some("dependency");
            registry = registry.with_raw(&named(kind), options(dependency), play);
        }
        registry
    }

    /// Breaker, rate and concurrency limits, as a user would order them.
    pub(super) fn chain(&self) -> Vec<Arc<dyn DynMiddleware>> {
        let policy = BreakerPolicy {
            failures: 3,
            open_for: Duration::from_secs(5),
            open_at_most: Duration::from_secs(40),
        };
        let of = |kind: &'static str| {
            move |context: &JobContext| (context.kind().as_str() == kind).then_some(kind)
        };
        let (rated, limited) = (of(RATED), of(LIMITED));
        vec![
            Arc::new(Breaker::new(self.registry(true), policy)),
            Arc::new(RateLimit::new(RATE, move |context| rated(context).map(str::to_owned))),
            Arc::new(Concurrency::new(Duration::from_secs(2), move |context| {
                limited(context).map(|kind| (kind.to_owned(), PLACES))
            })),
        ]
    }

    async fn play(self: Arc<Self>, context: JobContext) -> JobResult {
        let clock: &dyn backshift_core::Clock = &self.clock;
        let limited = (context.kind().as_str() == LIMITED).then_some((LIMITED, PLACES));
        let running = self.book.begin(&context, clock.now(), limited);
        let Some(script) = Script::read(&context.envelope().payload) else {
            self.book.broken(Rule::Payload, format!("{} came without its script", short(context.id())));
            return Err(JobError::permanent("no script"));
        };
        if context.starts() <= script.snoozes {
            return Err(snooze(&running, Duration::from_secs(3), "not yet"));
        }
        if script.ghost > 0 && context.starts() == 1 {
            tokio::spawn(Arc::clone(&self).haunt(context.clone(), Duration::from_millis(script.ghost)));
            return std::future::pending().await;
        }
        let work = Duration::from_millis(script.work);
        let worked = match script.deaf {
            true => {
                sleep(work).await;
                true
            }
            false => context.sleep(work).await,
        };
        if !worked {
            running.did(Deed::Obeyed);
            return Err(JobError::retry("told to stop"));
        }
        self.line.awake().await;
        if context.attempt() <= script.fails {
            return fail(&running, &context, script.how).await;
        }
        if context.kind().as_str() == GUARDED && self.weather.is_dependency_away() {
            running.did(Deed::Error);
            return Err(JobError::retry("the dependency is away"));
        }
        if script.asks
            && let Err(error) = self.ask(&context).await
        {
            running.did(Deed::Snoozed(OUTAGE_PAUSE));
            return Err(error.into());
        }
        self.line.awake().await;
        self.end(&running, &context, script.end).await
    }

    async fn ask(&self, context: &JobContext) -> Result<(), backshift_core::StoreError> {
        match context.store() {
            Some(store) => store.find(context.id()).await.map(drop),
            None => Ok(()),
        }
    }

    /// The attempt whose thread nobody can stop: its effect comes when it comes.
    async fn haunt(self: Arc<Self>, context: JobContext, after: Duration) {
        sleep(after).await;
        self.line.awake().await;
        let Some(lease) = context.lease() else { return };
        if self.store.commit_under(&lease, "effect").is_ok() {
            self.book.did(context.id(), lease.token.0, Deed::Committed);
        }
    }

    async fn end(&self, running: &Running, context: &JobContext, end: End) -> JobResult {
        match end {
            End::Plain => running.did(Deed::Done),
            End::Effect | End::EffectThenError | End::EffectThenPanic => {
                self.commit(running, context).await?;
                match end {
                    End::EffectThenError => return Err(JobError::retry("an error after the commit")),
                    End::EffectThenPanic => panic_quietly(),
                    _ => {}
                }
            }
            End::Outside => return self.send(running, context).await,
            End::Permanent => {
                running.did(Deed::Buried);
                return Err(JobError::permanent("it can never work"));
            }
            End::Cancel => {
                running.did(Deed::Cancelled);
                return Err(JobError::cancel("nobody needs it"));
            }
        }
        Ok(())
    }

    /// An effect in our database, in the transaction that completes the job.
    async fn commit(&self, running: &Running, context: &JobContext) -> JobResult {
        let committed = || running.did(Deed::Committed);
        match self.store.commit_over_the_wire(context, "effect", committed).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_transient() => {
                running.did(Deed::Snoozed(OUTAGE_PAUSE));
                Err(error.into())
            }
            Err(error) => {
                running.did(Deed::Error);
                Err(error.into())
            }
        }
    }

    /// An effect in the world outside, behind the inbox.
    async fn send(&self, running: &Running, context: &JobContext) -> JobResult {
        let Some(lease) = context.lease() else { return Err(JobError::permanent("no lease")) };
        let heard = |error: backshift_core::StoreError| {
            let deed = if error.is_outage() { Deed::Snoozed(OUTAGE_PAUSE) } else { Deed::Error };
            running.did(deed);
            JobError::from(error)
        };
        let Some(store) = context.store() else { return Err(JobError::permanent("no store")) };
        let before = store.intend(&lease, "send").await.map_err(heard)?.before;
        match before {
            EffectState::None => {
                self.line.awake().await;
                *self.book.pages().outside.entry(context.id()).or_default() += 1;
                store.conclude(&lease, "send", EffectState::Done, None).await.map_err(heard)?;
            }
            EffectState::Done => {}
            EffectState::Intended | EffectState::Ambiguous => {
                running.did(Deed::Buried);
                return Err(JobError::dead_letter(Reason::Ambiguous, "nobody knows whether it was sent"));
            }
        }
        running.did(Deed::Done);
        Ok(())
    }
}

fn snooze(running: &Running, time: Duration, word: &str) -> JobError {
    running.did(Deed::Snoozed(time));
    JobError::snooze(time, word)
}

async fn fail(running: &Running, context: &JobContext, how: Failing) -> JobResult {
    match how {
        Failing::Error => {
            running.did(Deed::Error);
            Err(JobError::retry("an error"))
        }
        Failing::Throttled => {
            running.did(Deed::Error);
            Err(JobError::throttled(Some(Duration::from_secs(2)), "slow down"))
        }
        Failing::Panic => {
            running.did(Deed::Panic);
            panic_quietly()
        }
        Failing::Timeout => std::future::pending().await,
        Failing::Rollback => {
            running.did(Deed::RolledBack);
            context.finished_in_transaction();
            Ok(())
        }
    }
}

/// Panics without a word on the screen: thousands of seeds panic on purpose.
fn panic_quietly() -> ! {
    std::panic::resume_unwind(Box::new("a panic"))
}

/// The kinds above are legal names.
pub(super) fn named(kind: &str) -> Kind {
    Kind::new(kind).expect("the kind is legal")
}
