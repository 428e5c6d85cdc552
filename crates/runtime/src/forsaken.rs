//! Ends jobs whose message a foreign broker has no more: a consumer that is not ours took it over from a worker that died.
//!
//! Nothing else would end them: the broker delivers only what it has. So it is looked for at both ends, the ledger first,
//! and given up only where the broker has nothing left of the queue while this worker consumes it.

use std::{sync::Arc, time::Duration};

use backshift_core::{Capability, Store};
use tokio::time::sleep;

use crate::pool::Pool;

/// How often, at most and at least.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));

/// Looks until it is dropped.
pub(crate) async fn run(pools: Vec<Arc<Pool>>, store: Arc<dyn Store>) {
    let abroad = |pool: &&Arc<Pool>| !pool.broker.capabilities().has(Capability::Ledger);
    let pools: Vec<_> = pools.iter().filter(abroad).cloned().collect();
    let Some(first) = pools.first() else { return std::future::pending().await };
    let after = first.engine.options.forsaken_after;
    let interval = (after / 4).clamp(INTERVAL.0, INTERVAL.1);
    loop {
        sleep(first.engine.around(interval)).await;
        for pool in &pools {
            look(pool, &store, after).await;
        }
    }
}

async fn look(pool: &Pool, store: &Arc<dyn Store>, after: Duration) {
    // What waits here for its copy is in nobody's queue, and is not lost.
    if !pool.vitals.is_consuming() || pool.is_paused() || pool.broker.trouble(&pool.queue).is_some() {
        return;
    }
    let forsaken = match store.forsaken(pool.broker.name(), &pool.queue, after).await {
        Ok(forsaken) if !forsaken.is_empty() => forsaken,
        Ok(_) => return,
        Err(error) => return tracing::debug!(%error, "forsaken jobs could not be looked for"),
    };
    match pool.broker.left(&pool.queue).await {
        Ok(0) => {}
        Ok(_) => return,
        Err(error) => return tracing::debug!(%error, "the broker could not be asked what is left"),
    }
    match store.forsake(forsaken, after).await {
        Ok(0) => {}
        Ok(count) => {
            let (queue, broker) = (&pool.queue, pool.broker.name());
            tracing::warn!(%queue, broker, count, "jobs are ambiguous: their messages are gone, another consumer may have done them");
            metrics::counter!("jobs_forsaken_total").increment(count);
        }
        Err(error) => tracing::debug!(%error, "forsaken jobs could not be ended"),
    }
}
