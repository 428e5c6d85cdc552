//! Writes settlements, whatever piled up during the previous round trip in one statement.

use backshift_core::{BrokerError, Settled, store::Finish};
use backshift_store::{Database, ledger, notify::Bell};

use crate::batcher::Batcher;

const LANES: usize = 2;
const BATCH: usize = 512;

/// The way out.
#[derive(Clone)]
pub(super) struct Settler {
    batcher: Batcher<Finish, Result<Settled, BrokerError>>,
}

impl Settler {
    pub(super) fn start(broker: &'static str, database: Database, bell: Bell) -> Self {
        let work = move |batch: Vec<Finish>| {
            let (database, bell) = (database.clone(), bell.clone());
            async move {
                let (count, soonest) = (batch.len(), ledger::soonest(&batch));
                let written = ledger::finish(&database, batch).await;
                if let Some(delay) = soonest {
                    bell.due_in(delay);
                }
                match written {
                    Ok(settled) => settled.into_iter().map(Ok).collect(),
                    // The same answer for every item of a batch that failed as a whole.
                    Err(error) => {
                        (0..count).map(|_| Err(BrokerError::of_store(broker, error.clone()))).collect()
                    }
                }
            }
        };
        Self { batcher: Batcher::start(LANES, BATCH, work) }
    }

    pub(super) async fn settle(&self, finish: Finish) -> Result<Settled, BrokerError> {
        let answer = self.batcher.submit(vec![finish]).await.and_then(|mut answers| answers.pop());
        answer.unwrap_or(Err(BrokerError::Closed))
    }
}
