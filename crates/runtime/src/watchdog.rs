//! Notices a queue that has work and a pool that gets none: first a new consumer, then the end of the worker,
//! so that its supervisor starts a fresh one.
//!
//! Only a fetcher that *waits* can be stuck; paused, full, lonely or disconnected pools have their own words.

use std::{sync::Arc, time::Duration};

use backshift_core::QueueName;
use tokio::time::{sleep, timeout};

use crate::pool::Pool;

const INTERVAL: Duration = Duration::from_secs(5);

/// Watches; returns the queue that stays stuck.
pub(crate) async fn run(pools: Vec<Arc<Pool>>, stuck_after: Duration) -> QueueName {
    let mut rebuilt: Vec<bool> = vec![false; pools.len()];
    loop {
        sleep(INTERVAL.min(stuck_after / 3)).await;
        for (pool, rebuilt) in pools.iter().zip(&mut rebuilt) {
            if !is_stuck(pool, stuck_after).await {
                *rebuilt &= !pool.vitals.waited().is_zero();
                pool.vitals.set_stuck(false);
                continue;
            }
            pool.vitals.set_stuck(true);
            if *rebuilt && pool.engine.options.exit_when_stuck {
                tracing::error!(queue = %pool.queue, "jobs wait, slots are free, and a new consumer got nothing either");
                return pool.queue.clone();
            }
            tracing::error!(queue = %pool.queue, "jobs wait, slots are free, and nothing comes: making a new consumer");
            *rebuilt = true;
            pool.vitals.waits_not();
            pool.vitals.set_stuck(true);
            pool.rebuild.notify_one();
        }
    }
}

async fn is_stuck(pool: &Pool, stuck_after: Duration) -> bool {
    let waits = pool.vitals.is_consuming() && pool.has_room() && !pool.is_paused();
    if !waits || pool.vitals.waited() < stuck_after {
        return false;
    }
    // Deliveries that cannot be settled fill the broker's window: a new consumer would change nothing.
    if pool.broker.trouble(&pool.queue).is_some() {
        return false;
    }
    let depth = timeout(INTERVAL, pool.broker.depth(&pool.queue)).await;
    // Something may have come while we asked.
    matches!(depth, Ok(Ok(depth)) if depth > 0) && pool.vitals.waited() >= stuck_after
}
