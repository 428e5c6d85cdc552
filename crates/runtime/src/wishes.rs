//! What people wish: which queues are paused, and which running jobs are to stop. Once for all pools of the process.
//!
//! The store gives a hint when somebody wishes something; hints get lost, so it looks every second all the same, with two
//! small statements whatever the ledger's size. When the store is away the last answer stands.

use std::{sync::Arc, time::Duration};

use backshift_core::{Lease, Store};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{
    attempt::Attempt,
    engine::{Engine, Paused},
    outcome::Stop,
    pool::Pool,
};

const INTERVAL: Duration = Duration::from_secs(1);
/// Wishes that come together are looked at together.
const GATHER: Duration = Duration::from_millis(20);
/// A look that hangs must not hold up the next one: a wish is noticed within seconds.
const LOOK: Duration = Duration::from_secs(3);
/// The most jobs in one look.
const BATCH: usize = 1000;

/// Looks until it is dropped.
pub(crate) async fn run(
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    pools: Vec<Arc<Pool>>,
    paused: Arc<watch::Sender<Paused>>,
) {
    let mut hints = store.wishes();
    loop {
        let looks = async {
            tokio::join!(look_for_pauses(&engine, &store, &paused), look_for_cancels(&engine, &store, &pools))
        };
        if timeout(LOOK, looks).await.is_err() {
            tracing::debug!("the store did not say in time what people wish; the last answer stands");
        }
        if hints.wait(None, engine.around(INTERVAL)).await {
            sleep(GATHER).await;
        }
    }
}

async fn look_for_pauses(engine: &Engine, store: &Arc<dyn Store>, paused: &watch::Sender<Paused>) {
    match store.paused().await {
        Ok(queues) => {
            engine.health.clear("store pauses");
            let queues: Paused = queues.into_iter().collect();
            paused.send_if_modified(|now| {
                let changed = *now != queues;
                *now = queues;
                changed
            });
        }
        Err(error) => {
            if engine.health.trouble("store pauses", &error) {
                tracing::warn!(%error, "paused queues are unknown; the last answer stands");
            }
        }
    }
}

async fn look_for_cancels(engine: &Engine, store: &Arc<dyn Store>, pools: &[Arc<Pool>]) {
    let goes_on = |attempt: &Arc<Attempt>| !attempt.has_ended() && attempt.stopped().is_none();
    let running = pools.iter().flat_map(|pool| pool.running.all()).filter(goes_on);
    let running: Vec<(Lease, Arc<Attempt>)> =
        running.filter_map(|attempt| Some((attempt.lease()?, attempt))).collect();
    for batch in running.chunks(BATCH) {
        let leases: Vec<Lease> = batch.iter().map(|(lease, _)| *lease).collect();
        match store.unwanted(&engine.name, &leases).await {
            Ok(unwanted) => {
                let wished = batch.iter().filter(|(lease, _)| unwanted.contains(lease));
                wished.for_each(|(_, attempt)| attempt.stop(Stop::CancelRequested));
            }
            Err(error) => {
                tracing::debug!(%error, "wishes to cancel are unknown; the next heartbeat brings them")
            }
        }
    }
}
