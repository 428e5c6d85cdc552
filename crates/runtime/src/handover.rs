//! Lets the message of a long job go while the job runs: the ledger's lease holds the job, and the broker has nothing left
//! to take back.
//!
//! The ledger first, durably and whole; then the acknowledgement. Whatever is lost in between, the message comes again and
//! the ledger answers that it is left over. What the ledger cannot keep whole, or must not, stays with its broker.

use std::{sync::Arc, time::Duration};

use backshift_core::{Capability, Receipt, Store, store::HandOver};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use crate::{attempt::Attempt, engine::Engine, loan::Loan, pool::Pool};

/// The shortest and the longest time between two looks.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(15));
/// The most jobs, and the most bytes of several, in one call.
const BATCH: (usize, usize) = (100, 1024 * 1024);

/// Looks until it is dropped.
pub(crate) async fn run(engine: Arc<Engine>, store: Arc<dyn Store>, pools: Vec<Arc<Pool>>) {
    let foreign = |pool: &&Arc<Pool>| !pool.broker.capabilities().has(Capability::Ledger);
    let pools: Vec<_> = pools.iter().filter(foreign).cloned().collect();
    if pools.is_empty() {
        return std::future::pending().await;
    }
    let after = engine.options.hand_over_after;
    let interval = (after / 4).clamp(INTERVAL.0, INTERVAL.1);
    loop {
        sleep(engine.around(interval)).await;
        for pool in &pools {
            look(pool, &store, after).await;
        }
    }
}

async fn look(pool: &Arc<Pool>, store: &Arc<dyn Store>, after: Duration) {
    let running = pool.running.all();
    let mut long: Vec<_> = running.into_iter().filter(|attempt| attempt.can_be_handed_over(after)).collect();
    while !long.is_empty() {
        let rest = long.split_off(first_batch(&long));
        hand_over(pool, store, std::mem::replace(&mut long, rest)).await;
    }
}

/// How many of these go in one call; one at least.
fn first_batch(long: &[Arc<Attempt>]) -> usize {
    let mut bytes = 0;
    let fits = |attempt: &&Arc<Attempt>| {
        bytes += attempt.context.envelope().payload.len();
        bytes <= BATCH.1
    };
    long.iter().take(BATCH.0).take_while(fits).count().max(1)
}

/// Their receipts are on loan meanwhile: whoever ends now settles when the loan is over.
async fn hand_over(pool: &Arc<Pool>, store: &Arc<dyn Store>, attempts: Vec<Arc<Attempt>>) {
    let lent = |attempt: Arc<Attempt>| {
        let (loan, lease) = (Loan::of(pool, &attempt)?, attempt.lease()?);
        let payload = attempt.context.envelope().payload.clone();
        Some((attempt, loan, HandOver { lease, payload }))
    };
    let lent: Vec<_> = attempts.into_iter().filter_map(lent).collect();
    let asked: Vec<_> = lent.iter().map(|(.., job)| job.clone()).collect();
    let limit = pool.engine.options.lease / 3;
    let kept = match timeout(limit, store.hand_over(asked)).await {
        Ok(Ok(kept)) => kept,
        // Done or not: asked again at the next look, with the message still held.
        Ok(Err(error)) => {
            tracing::debug!(%error, queue = %pool.queue, "long jobs could not be handed over to the ledger");
            Vec::new()
        }
        Err(_) => Vec::new(),
    };
    let mut leaving = Vec::new();
    for ((attempt, loan, _), kept) in lent.into_iter().zip(kept) {
        if !kept {
            attempt.stays();
            continue;
        }
        // Every loan ends before the first acknowledgement is sent: an attempt that has ended meanwhile can settle at once and does
        // not wait for one.
        let slot = Arc::new(pool.occupied.take());
        leaving.extend(loan.hand_over(Arc::clone(&slot)).map(|receipt| (attempt, receipt, slot)));
    }
    // All at once, and no more than one batch: a broker that has to end its subscription for this ends it once for all of them.
    let let_go = leaving.into_iter().map(|(attempt, receipt, slot)| async move {
        acknowledge(pool, &attempt, receipt, limit).await;
        // Until the server has the acknowledgement it counts this delivery as unsettled, so the slot stays taken as long.
        drop(slot);
    });
    join_all(let_go).await;
}

/// If that fails the message comes again, and the ledger says that it is left over.
async fn acknowledge(pool: &Pool, attempt: &Attempt, receipt: Box<dyn Receipt>, limit: Duration) {
    match timeout(limit, receipt.hand_over()).await {
        Ok(Ok(_)) => {
            tracing::info!(queue = %pool.queue, job = %attempt.id(), "a long job: the ledger keeps it, its message is let go");
            metrics::counter!("backshift_jobs_handed_over_total").increment(1);
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, job = %attempt.id(), "a message that the ledger keeps was not acknowledged; it comes again");
        }
        Err(_) => tracing::debug!(job = %attempt.id(), "a message was not acknowledged in time"),
    }
}
