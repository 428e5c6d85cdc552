//! Deletes finished rows that are old enough, and what the domains keep for a time, in small bites, so that it never
//! blocks a claim.

use std::{sync::Arc, time::Duration};

use backshift_core::{Store, StoreError, store::Retention};
use tokio::time::sleep;

use crate::engine::Engine;

/// The most rows that one call deletes.
const BITE: u32 = 1000;
/// Between two bites, and between two rounds.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(600));

/// Prunes until it is dropped.
pub(crate) async fn run(engine: Arc<Engine>, store: Arc<dyn Store>, domains: Vec<Arc<dyn Retention>>) {
    loop {
        let mut more = bitten("finished jobs", store.prune(engine.options.keep_finished, BITE).await);
        if let Some(keep) = engine.options.keep_dead {
            more |= bitten("dead jobs", store.prune_dead(keep, BITE).await);
        }
        for domain in &domains {
            more |= bitten(domain.name(), domain.prune(BITE).await);
        }
        sleep(engine.around(if more { PAUSES.0 } else { PAUSES.1 })).await;
    }
}

/// Whether there may be more of it.
fn bitten(what: &str, deleted: Result<u64, StoreError>) -> bool {
    match deleted {
        Ok(deleted) => deleted >= u64::from(BITE),
        Err(error) => {
            tracing::warn!(%error, what, "old rows could not be deleted; tried again later");
            false
        }
    }
}
