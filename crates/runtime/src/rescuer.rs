//! Returns jobs whose lease has ended without a result: by the store's clock only, never by age.

use std::{sync::Arc, time::Duration};

use backshift_core::Store;
use tokio::time::sleep;

use crate::engine::Engine;

/// About how often; with jitter, so that a fleet does not sweep in step. With the second look at a silent worker and a
/// poll of the survivors it keeps a killed worker's jobs from waiting longer than two seconds.
const INTERVAL: Duration = Duration::from_millis(500);

/// Rescues until it is dropped.
pub(crate) async fn run(engine: Arc<Engine>, store: Arc<dyn Store>) {
    loop {
        sleep(engine.around(INTERVAL)).await;
        match store.rescue().await {
            Ok(rescued) => {
                engine.health.clear("store rescuer");
                if rescued.returned + rescued.dead > 0 {
                    let (returned, dead) = (rescued.returned, rescued.dead);
                    tracing::warn!(returned, dead, "leases ended without a result");
                    metrics::counter!("backshift_jobs_rescued_total").increment(returned);
                    metrics::counter!("backshift_jobs_crash_loop_total").increment(dead);
                }
            }
            Err(error) => {
                if engine.health.trouble("store rescuer", &error) {
                    tracing::warn!(%error, "ended leases could not be returned");
                }
            }
        }
    }
}
