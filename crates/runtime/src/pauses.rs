//! Learns about each second which queues are paused, once for all pools of the process.
//!
//! When the store is away the last answer stands.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use backshift_core::{QueueName, Store};
use tokio::{sync::watch, time::sleep};

use crate::{
    planted::{Bug, has},
    pool::Engine,
};

/// The paused queues.
pub(crate) type Paused = BTreeSet<QueueName>;

const INTERVAL: Duration = Duration::from_secs(1);

/// Asks until it is dropped.
pub(crate) async fn run(engine: Arc<Engine>, store: Arc<dyn Store>, paused: Arc<watch::Sender<Paused>>) {
    loop {
        match store.paused().await {
            Ok(queues) => {
                engine.health.clear("store pauses");
                let queues: Paused = queues.into_iter().filter(|_| !has(Bug::IgnoresPauses)).collect();
                paused.send_if_modified(|now| {
                    let changed = *now != queues;
                    *now = queues;
                    changed
                });
            }
            Err(error) => {
                engine.health.trouble("store pauses", &error);
                tracing::debug!(%error, "paused queues are unknown; the last answer stands");
            }
        }
        sleep(engine.around(INTERVAL)).await;
    }
}
