//! Sweeps that were begun on a page go on here, whoever closes the page or is signed out meanwhile.
//!
//! They end with this process; then the page of the sweep says that nobody works on it, and whoever presses the button there
//! goes on with it from its place.

use std::time::Duration;

use backshift_core::{Hand, StoreError};
use uuid::Uuid;

use super::{Pages, sweeping::Problem};

/// So often a batch is tried while the store is away, for about a minute in all.
const TRIES: u32 = 24;
const PAUSE: Duration = Duration::from_millis(200);

/// Gives the place back, whatever ends the work.
struct Place(Pages, Uuid);

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.sweeping.is_at_work(self.1) {
            let said = "It was stopped.".to_owned();
            self.0.sweeping.end(self.1, Some(Problem { said, touched_at: None }));
        }
    }
}

impl Pages {
    /// Goes on with a sweep until its end, unless that happens already.
    pub(super) fn go_on(&self, id: Uuid, hand: Hand) -> Result<(), StoreError> {
        if self.sweeping.begin(id)? {
            let place = Place(self.clone(), id);
            tokio::spawn(async move {
                let problem = drive(&place.0, id, &hand).await.err();
                if let Some(error) = &problem {
                    tracing::warn!(%error, sweep = %id, "what was begun on a page for many jobs has stopped");
                }
                let problem = match problem {
                    Some(error) => Some(place.0.problem(id, error.to_string()).await),
                    None => None,
                };
                place.0.sweeping.end(id, problem);
                place.0.watch.forget();
            });
        }
        Ok(())
    }

    async fn problem(&self, id: Uuid, said: String) -> Problem {
        let record = self.store.find_sweep(id).await.ok().flatten();
        Problem { said, touched_at: record.map(|record| record.touched_at) }
    }
}

async fn drive(pages: &Pages, id: Uuid, hand: &Hand) -> Result<(), StoreError> {
    let mut failures = 0;
    loop {
        match pages.store.sweep(id, hand).await {
            Ok(swept) => {
                failures = 0;
                if let Some(bell) = &pages.bell {
                    swept.queues.into_iter().for_each(|queue| bell(queue));
                }
                if swept.done {
                    return Ok(());
                }
            }
            Err(error) if error.is_transient() && failures < TRIES => {
                failures += 1;
                tokio::time::sleep(PAUSE * failures).await;
            }
            Err(error) => return Err(error),
        }
    }
}
