//! Shows this worker to the others, and holds the sign of life whose end they notice at once.

use std::{sync::Arc, time::Duration};

use backshift_core::{Clock, Store, store::WorkerRecord};
use tokio::time::sleep;

use crate::pool::{Engine, Pool};

/// How often the record is written anew; others show a worker for a minute.
const INTERVAL: Duration = Duration::from_secs(10);

/// Announces until it is dropped.
pub(crate) async fn run(
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    pools: Vec<Arc<Pool>>,
    clock: Arc<dyn Clock>,
) {
    let started_at = clock.now();
    let queues: Vec<_> = pools.iter().map(|pool| format!("{}:{}", pool.queue, pool.options.slots)).collect();
    let mut sign = None;
    loop {
        let running: usize = pools.iter().map(|pool| pool.running.len()).sum();
        let record = WorkerRecord {
            name: engine.name.clone(),
            queues: queues.join(","),
            started_at,
            seen_at: clock.now(),
            running: u32::try_from(running).unwrap_or(u32::MAX),
        };
        match store.announce(&record).await {
            // The old sign goes only after the new one stands.
            Ok(fresh) => {
                engine.health.clear("store announcement");
                sign = Some(fresh);
            }
            Err(error) => {
                engine.health.trouble("store announcement", &error);
                tracing::warn!(%error, "this worker could not announce itself");
            }
        }
        let mut waited = Duration::ZERO;
        while waited < INTERVAL && sign.as_ref().is_none_or(|sign| sign.stands()) {
            sleep(Duration::from_secs(1)).await;
            waited += Duration::from_secs(1);
        }
        sleep(Duration::from_millis(100)).await;
    }
}
