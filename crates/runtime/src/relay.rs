//! Publishes jobs that were accepted in the store for a foreign broker, and those that the ledger took over and that run again
//! or are dead; marks them once confirmed.
//!
//! A crash between publish and mark publishes again under the same id: doubled, never lost.

use std::{sync::Arc, time::Duration};

use backshift_core::{Broker, Envelope, JobId, Store, StoreError};
use tokio::time::{Instant, sleep};

use crate::engine::Engine;

/// The most jobs in one publish.
const BATCH: u32 = 500;
/// How long rows are taken before another relay may publish them.
const HOLD: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(500);
const AFTER_TROUBLE: Duration = Duration::from_secs(2);

/// Relays until it is dropped.
pub(crate) async fn run(engine: Arc<Engine>, store: Arc<dyn Store>, broker: Arc<dyn Broker>) {
    let part = format!("relay to {}", broker.name());
    let mut refused_at = None::<Instant>;
    loop {
        let pause = match round(&store, &broker).await {
            Ok((published, 0)) => {
                // Nothing to take right after a refusal says nothing about the broker: the refused rows are still held.
                if published > 0 || refused_at.is_none_or(|at| at.elapsed() > HOLD * 2) {
                    engine.health.clear(&part);
                }
                if published >= BATCH as usize { Duration::ZERO } else { INTERVAL }
            }
            Ok((_, refused)) => {
                refused_at = Some(Instant::now());
                engine.health.trouble(&part, &format!("{refused} jobs were not confirmed by the broker"));
                AFTER_TROUBLE
            }
            Err(error) => {
                if engine.health.trouble(&part, &error) {
                    tracing::warn!(%error, broker = broker.name(), "the relay waits for the store");
                }
                AFTER_TROUBLE
            }
        };
        sleep(engine.around(pause)).await;
    }
}

/// How many were confirmed, and how many were not.
async fn round(store: &Arc<dyn Store>, broker: &Arc<dyn Broker>) -> Result<(usize, usize), StoreError> {
    let batch = store.take_unpublished(broker.name(), BATCH, HOLD).await?;
    if batch.is_empty() {
        return Ok((0, 0));
    }
    let ids: Vec<JobId> = batch.iter().map(|envelope| envelope.id).collect();
    // The store has kept the promises that a foreign broker would have to refuse.
    let batch = batch.into_iter().map(Envelope::for_broker).collect();
    let answers = broker.publish(batch).await;
    let mut confirmed = Vec::with_capacity(ids.len());
    for (id, answer) in ids.iter().zip(answers) {
        match answer {
            Ok(_) => confirmed.push(*id),
            Err(error) => {
                tracing::warn!(%error, job = %id, broker = broker.name(), "not published; tried again later");
            }
        }
    }
    let refused = ids.len() - confirmed.len();
    if !confirmed.is_empty() {
        store.mark_published(&confirmed).await?;
    }
    Ok((confirmed.len(), refused))
}
