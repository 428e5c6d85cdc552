//! Sets the gauges that nobody else sees change: depths, rates, connections.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use metrics::gauge;
use tokio::time::{sleep, timeout};

use crate::{middleware::published, pool::Pool};

const INTERVAL: Duration = Duration::from_secs(5);

/// Measures until it is dropped.
pub(crate) async fn run(pools: Vec<Arc<Pool>>) {
    let mut consumed_before: Vec<u64> = vec![0; pools.len()];
    let mut published_before = published();
    loop {
        sleep(INTERVAL).await;
        let seconds = INTERVAL.as_secs_f64();
        for (pool, before) in pools.iter().zip(&mut consumed_before) {
            let queue = pool.queue.to_string();
            let consumed = pool.vitals.fetched.load(Ordering::Relaxed);
            let rate = (consumed - *before) as f64 / seconds;
            gauge!("backshift_jobs_taken_per_second", "queue" => queue.clone()).set(rate);
            *before = consumed;
            if let Ok(Ok(depth)) = timeout(INTERVAL, pool.broker.depth(&pool.queue)).await {
                gauge!("backshift_queue_depth", "queue" => queue).set(depth as f64);
            }
        }
        let now = published();
        gauge!("backshift_jobs_enqueued_per_second").set((now - published_before) as f64 / seconds);
        published_before = now;
        let consuming = pools.iter().filter(|pool| pool.vitals.is_consuming()).count();
        gauge!("backshift_pools_consuming").set(consuming as f64);
    }
}
