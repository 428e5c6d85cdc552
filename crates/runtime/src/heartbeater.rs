//! Keeps the leases of everything that runs: one call to the ledger for all of them, each third of the lease.
//!
//! Where a claim leaves the job's row as it is (PostgreSQL), the first sign of life of a new attempt comes sooner: with it the row
//! says that the job runs.
//!
//! Work whose lease nobody confirmed for two thirds of its length is stopped *before* somebody else may begin
//! it. That check runs beside the calls, so a store that hangs cannot delay it.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Moment, Store,
    store::{Beat, Pulse},
};
use futures::StreamExt;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::{attempt::Attempt, engine::Engine, loan::Loan, outcome::Stop, pool::Pool};

/// The most leases in one call.
const BATCH: usize = 1000;
/// How soon an attempt gives its first sign of life, where that has to be written.
const FIRST: Duration = Duration::from_secs(1);
/// How many receipts are extended side by side.
const EXTENSIONS: usize = 64;

/// Beats until it is dropped.
pub(crate) async fn run(engine: Arc<Engine>, store: Option<Arc<dyn Store>>, pools: Vec<Arc<Pool>>) {
    let lease = engine.options.lease;
    let beating = async {
        loop {
            let all_due = Instant::now() + lease / 3;
            while let Some(store) = &store
                && Instant::now() + FIRST < all_due
            {
                sleep(FIRST).await;
                beat(&engine, store, &pools, Attempt::is_unwritten).await;
            }
            sleep_until(all_due).await;
            if let Some(store) = &store {
                beat(&engine, store, &pools, |_| true).await;
            }
            extend(lease, &pools).await;
        }
    };
    let watching = async {
        loop {
            sleep(lease / 12).await;
            pools.iter().for_each(|pool| stop_unconfirmed(pool, lease));
        }
    };
    tokio::join!(beating, watching);
}

async fn beat(engine: &Engine, store: &Arc<dyn Store>, pools: &[Arc<Pool>], due: fn(&Attempt) -> bool) {
    let leased = |attempt: &Arc<Attempt>| {
        attempt.lease().is_some() && !attempt.is_beyond_control(engine.options.handler_grace)
    };
    let all = pools.iter().flat_map(|pool| pool.running.all());
    let mut attempts: Vec<_> = all.filter(leased).collect();
    if attempts.is_empty() {
        // Nothing waits for an answer any more: an idle worker is not to stay unready because of the last one.
        engine.health.clear("store heartbeats");
    }
    attempts.retain(|attempt| due(attempt));
    for batch in attempts.chunks(BATCH) {
        let beats = batch
            .iter()
            .filter_map(|attempt| Some(Beat { lease: attempt.lease()?, progress: attempt.fresh_progress() }));
        let (sent_at, limit) = (Moment::now(), engine.options.lease / 3);
        match timeout(limit, store.beat(&engine.holder(), beats.collect())).await {
            Ok(Ok(pulses)) => {
                engine.health.clear("store heartbeats");
                batch.iter().zip(pulses).for_each(|(attempt, pulse)| take(attempt, pulse, sent_at));
            }
            Ok(Err(error)) => {
                if engine.health.trouble("store heartbeats", &error) {
                    tracing::warn!(%error, leases = batch.len(), "a heartbeat failed");
                }
            }
            Err(_) => {
                if engine.health.trouble("store heartbeats", &"no answer") {
                    tracing::warn!(leases = batch.len(), "a heartbeat got no answer");
                }
            }
        }
    }
}

fn take(attempt: &Attempt, pulse: Pulse, sent_at: Moment) {
    match pulse {
        Pulse::Until(_) => attempt.beaten(sent_at),
        Pulse::CancelRequested => {
            attempt.beaten(sent_at);
            if !attempt.has_ended() {
                attempt.stop(Stop::CancelRequested);
            }
        }
        Pulse::Lost if attempt.has_ended() => {} // The settler will hear *stale*.
        Pulse::Lost => {
            tracing::warn!(job = %attempt.id(), "the lease is lost; stopping the handler");
            attempt.stop(Stop::LeaseLost);
        }
    }
}

/// Signs of life for brokers that want their own.
async fn extend(lease: Duration, pools: &[Arc<Pool>]) {
    let wanted = pools.iter().flat_map(|pool| {
        let grace = pool.engine.options.handler_grace;
        let wants = move |attempt: &Arc<Attempt>| attempt.extends && !attempt.is_beyond_control(grace);
        pool.running.all().into_iter().filter(wants).map(|attempt| (Arc::clone(pool), attempt))
    });
    let wanted: Vec<_> = wanted.collect();
    futures::stream::iter(wanted)
        .for_each_concurrent(EXTENSIONS, |(pool, attempt)| async move {
            extend_one(lease, &pool, attempt).await;
        })
        .await;
}

async fn extend_one(lease: Duration, pool: &Arc<Pool>, attempt: Arc<Attempt>) {
    let Some(mut loan) = Loan::of(pool, &attempt) else { return };
    let sent_at = Moment::now();
    let Some(receipt) = loan.receipt() else { return };
    match timeout(lease / 3, receipt.extend(lease)).await {
        Ok(Ok(())) if attempt.lease().is_none() || pool.store.is_none() => attempt.confirm(sent_at),
        Ok(Ok(())) => {} // The ledger's beat is the one that counts.
        Ok(Err(error)) => tracing::warn!(%error, job = %attempt.id(), "a delivery was not extended"),
        Err(_) => tracing::warn!(job = %attempt.id(), "a delivery was not extended: no answer"),
    }
}

fn stop_unconfirmed(pool: &Pool, lease: Duration) {
    for attempt in pool.running.all().into_iter().filter(|attempt| attempt.may_be_lost(lease)) {
        if !attempt.has_ended() && attempt.stopped().is_none() {
            tracing::warn!(job = %attempt.id(), "no heartbeat was confirmed in time; stopping the handler");
            attempt.stop(Stop::Unconfirmed);
        }
    }
}
