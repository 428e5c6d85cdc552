//! Shows this worker to the others, and holds the sign of life whose end they notice at once.
//!
//! Announced once; again only when the sign fell (a session lock that was lost with its connection). A fallen
//! sign is kept, because dropping it takes the worker out of the list that it was just entered in again; and it may
//! stand again by itself, before or instead of a new one. Any that stands is proof enough.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Clock, Store,
    store::{Liveness, WorkerRecord},
};
use tokio::time::sleep;

use crate::pool::{Engine, Pool};

/// How often the sign is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Announces until it is dropped.
pub(crate) async fn run(
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    pools: Vec<Arc<Pool>>,
    clock: Arc<dyn Clock>,
) {
    let started_at = clock.now();
    let queues: Vec<_> = pools.iter().map(|pool| format!("{}:{}", pool.queue, pool.options.slots)).collect();
    let kinds = engine.registry.known();
    let mut signs: Vec<Arc<dyn Liveness>> = Vec::new();
    loop {
        if signs.iter().any(|sign| sign.stands()) {
            // Also after an announcement that failed meanwhile.
            engine.health.clear("store announcement");
        } else {
            let running: usize = pools.iter().map(|pool| pool.running.len()).sum();
            let record = WorkerRecord {
                name: engine.name.clone(),
                queues: queues.join(","),
                kinds: kinds.iter().cloned().collect(),
                started_at,
                seen_at: clock.now(),
                running: u32::try_from(running).unwrap_or(u32::MAX),
            };
            match store.announce(&record).await {
                Ok(fresh) => {
                    engine.health.clear("store announcement");
                    signs.push(fresh);
                }
                Err(error) => {
                    if engine.health.trouble("store announcement", &error) {
                        tracing::warn!(%error, "this worker could not announce itself");
                    }
                }
            }
            engine.introduced.cancel();
        }
        sleep(engine.around(INTERVAL)).await;
    }
}
