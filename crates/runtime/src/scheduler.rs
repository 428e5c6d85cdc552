//! Makes due jobs of the SQL brokers available.
//!
//! It sleeps until the next job is due, at most a second, because another process may enqueue an earlier one.

use std::{sync::Arc, time::Duration};

use backshift_core::{Clock, Store};
use tokio::time::sleep;

use crate::pool::Engine;

/// The most jobs that one call promotes.
const BATCH: u32 = 1000;
const LONGEST: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(5);

/// Promotes until it is dropped.
pub(crate) async fn run(engine: Arc<Engine>, store: Arc<dyn Store>, clock: Arc<dyn Clock>) {
    loop {
        let pause = match store.promote(BATCH).await {
            Ok((promoted, _)) if promoted >= u64::from(BATCH) => Duration::ZERO,
            Ok((_, next)) => {
                engine.health.clear("store scheduler");
                let until = next.map(|next| next.duration_since(clock.now()));
                let until = until.map(|until| Duration::try_from(until).unwrap_or_default());
                until.unwrap_or(LONGEST).clamp(SHORTEST, LONGEST)
            }
            Err(error) => {
                engine.health.trouble("store scheduler", &error);
                tracing::warn!(%error, "due jobs could not be promoted");
                LONGEST
            }
        };
        sleep(pause).await;
    }
}
