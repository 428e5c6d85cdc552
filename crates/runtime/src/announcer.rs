//! Shows this worker to the others, and holds the sign of life whose end they notice at once.
//!
//! Announced once; again only when the sign fell (a session lock that was lost with its connection). A fallen
//! sign is kept, because dropping it takes the worker out of the list that it was just entered in again; and it may
//! stand again by itself, before or instead of a new one. Any that stands is proof enough. What keeps it from its work is told
//! beside that, when it lasts for two looks and when it changes.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Clock, Store,
    store::{Liveness, Watched, WorkerRecord},
};
use tokio::time::sleep;

use crate::{
    engine::Engine,
    pool::Pool,
    troubles::{Told, Troubles},
};

/// How often the sign is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Announces until it is dropped.
pub(crate) async fn run(
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    pools: Vec<Arc<Pool>>,
    clock: Arc<dyn Clock>,
    watched: Arc<[Arc<dyn Watched>]>,
) {
    let mut troubles = Troubles::of(&watched);
    let mut told = Told::default();
    let started_at = clock.now();
    let queues: Vec<_> = pools.iter().map(|pool| format!("{}:{}", pool.queue, pool.options.slots)).collect();
    let kinds = engine.registry.known();
    let mut signs: Vec<Arc<dyn Liveness>> = Vec::new();
    loop {
        let now = troubles.look(&engine, &pools, clock.now());
        if signs.iter().any(|sign| sign.stands()) {
            // Also after an announcement that failed meanwhile.
            engine.health.clear("store announcement");
            if told.is_news(&now) {
                let answer = store.tell(&engine.name, &now).await;
                if let Err(error) = &answer {
                    tracing::debug!(%error, "this worker's troubles could not be told");
                }
                told.answered(now, &answer);
            }
        } else {
            let running: usize = pools.iter().map(|pool| pool.running.len()).sum();
            let record = WorkerRecord {
                name: engine.name.clone(),
                queues: queues.join(","),
                kinds: kinds.iter().cloned().collect(),
                started_at,
                seen_at: clock.now(),
                running: u32::try_from(running).unwrap_or(u32::MAX),
                troubles: now.clone(),
            };
            let answer = store.announce(&record).await;
            told.answered(now, &answer);
            match answer {
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
