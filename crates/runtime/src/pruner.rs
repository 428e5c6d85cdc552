//! Deletes finished rows that are old enough, in small bites, so that it never blocks a claim.

use std::{sync::Arc, time::Duration};

use backshift_core::Store;
use tokio::time::sleep;

use crate::pool::Engine;

/// The most rows that one call deletes.
const BITE: u32 = 1000;
/// Between two bites, and between two rounds.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(600));

/// Prunes until it is dropped.
pub(crate) async fn run(engine: Arc<Engine>, store: Arc<dyn Store>) {
    loop {
        let pause = match store.prune(engine.options.keep_finished, BITE).await {
            Ok(deleted) if deleted >= u64::from(BITE) => PAUSES.0,
            Ok(_) => PAUSES.1,
            Err(error) => {
                tracing::warn!(%error, "old rows could not be deleted; tried again later");
                PAUSES.1
            }
        };
        sleep(engine.around(pause)).await;
    }
}
