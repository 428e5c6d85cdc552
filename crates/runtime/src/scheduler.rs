//! Makes due jobs of the SQL brokers available, at their time.
//!
//! It sleeps until the next job is due, by the store's clock, and a hint wakes it when one is scheduled that is due sooner.
//! Every worker does this, and one is enough: who comes and finds that somebody else did it comes later the next time, up
//! to a second, and at once again when that somebody is gone. So a fleet asks about as often as one worker.

use std::{sync::Arc, time::Duration};

use backshift_core::{Store, store::Due};
use rand::RngExt;

use crate::engine::Engine;

/// The most jobs that one call promotes.
const BATCH: u32 = 1000;
const LONGEST: Duration = Duration::from_secs(1);
/// Jobs whose times lie closer together are promoted together.
const SHORTEST: Duration = Duration::from_millis(10);

/// Promotes until it is dropped.
pub(crate) async fn run(engine: Arc<Engine>, store: Arc<dyn Store>) {
    let mut hints = store.dues();
    let mut late = Lateness::default();
    let mut expected = false;
    loop {
        let (pause, next) = match store.promote(BATCH).await {
            Ok((promoted, next)) => {
                engine.health.clear("store scheduler");
                late.found(promoted, expected);
                let more = promoted >= u64::from(BATCH);
                (if more { Duration::ZERO } else { pause(next, late.some(&engine)) }, next)
            }
            Err(error) => {
                if engine.health.trouble("store scheduler", &error) {
                    tracing::warn!(%error, "due jobs could not be promoted");
                }
                (LONGEST, None)
            }
        };
        let sooner = !pause.is_zero() && hints.wait(next.map(|due| due.at), pause).await;
        expected = !sooner && next.is_some_and(|due| due.wait < pause);
    }
}

fn pause(next: Option<Due>, late: Duration) -> Duration {
    next.map_or(LONGEST, |due| due.wait.saturating_add(late)).clamp(SHORTEST, LONGEST)
}

/// How long after their time this worker looks for due jobs.
#[derive(Debug, Default)]
struct Lateness(Duration);

impl Lateness {
    /// `expected` = a job was due when it looked.
    fn found(&mut self, promoted: u64, expected: bool) {
        self.0 = match (promoted, expected) {
            (0, true) => (self.0 * 2).clamp(SHORTEST, LONGEST),
            (0, false) => self.0,
            _ => Duration::ZERO,
        };
    }

    fn some(&self, engine: &Engine) -> Duration {
        match self.0.is_zero() {
            true => Duration::ZERO,
            false => self.0.mul_f64(engine.random(|rng| rng.random_range(0.5..=1.0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_needed_comes_later_and_who_is_needed_comes_in_time() {
        let mut late = Lateness::default();
        for _ in 0..10 {
            late.found(0, true);
        }
        assert_eq!(late.0, LONGEST);
        late.found(0, false);
        assert_eq!(late.0, LONGEST, "a look by chance says nothing");
        late.found(3, true);
        assert_eq!(late.0, Duration::ZERO);
    }
}
