//! Ends jobs whose message a foreign broker has no more: a consumer that is not ours took it over from a worker that died.
//!
//! Nothing else would end them: the broker delivers only what it has. So it is looked for at both ends, the ledger first,
//! and given up only where the broker has nothing left of the queue while this worker consumes it.

use std::{sync::Arc, time::Duration};

use backshift_core::{Capability, Moment, Store};
use tokio::time::sleep;

use crate::pool::Pool;

/// The shortest and the longest time between two looks.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));
/// A job that nobody had begun is given up only when its queue has been empty for so many times as long: another worker may hold
/// its message and not have come to it.
const EMPTY_FOR: u32 = 6;

/// Looks until it is dropped.
pub(crate) async fn run(pools: Vec<Arc<Pool>>, store: Arc<dyn Store>) {
    let foreign = |pool: &&Arc<Pool>| !pool.broker.capabilities().has(Capability::Ledger);
    let pools: Vec<_> = pools.iter().filter(foreign).cloned().collect();
    let Some(first) = pools.first() else { return std::future::pending().await };
    let after = first.engine.options.forsaken_after;
    let interval = (after / 4).clamp(INTERVAL.0, INTERVAL.1);
    let mut empty: Vec<Option<Moment>> = vec![None; pools.len()];
    loop {
        sleep(first.engine.around(interval)).await;
        for (pool, empty) in pools.iter().zip(&mut empty) {
            look(pool, &store, after, empty).await;
        }
    }
}

/// `empty` = since when the broker has had nothing of the queue at each look.
async fn look(pool: &Pool, store: &Arc<dyn Store>, after: Duration, empty: &mut Option<Moment>) {
    let since = empty.take();
    // While the broker refuses copies, the deliveries that wait for theirs are in no queue and yet not lost.
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
    let emptied = since.unwrap_or_else(Moment::now);
    *empty = Some(emptied);
    let forsaken = match emptied.elapsed() {
        short if short < after => return,
        long => {
            let patient = long >= after * EMPTY_FOR;
            forsaken.iter().filter(|job| job.begun || patient).map(|job| job.id).collect()
        }
    };
    match store.forsake(forsaken, after).await {
        Ok(0) => {}
        Ok(count) => {
            let (queue, broker) = (&pool.queue, pool.broker.name());
            tracing::warn!(%queue, broker, count, "jobs are ambiguous: their messages are gone, another consumer may have done them");
            metrics::counter!("backshift_jobs_forsaken_total").increment(count);
        }
        Err(error) => tracing::debug!(%error, "forsaken jobs could not be ended"),
    }
}
