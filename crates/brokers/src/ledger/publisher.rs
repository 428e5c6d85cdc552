//! Publishes by writing ledger rows, many callers in one statement, and wakes the consumers afterwards.

use std::collections::HashSet;

use backshift_core::{Accepted, BrokerError, Envelope, Timestamp};
use backshift_store::{Database, ledger, notify::Bell};

use crate::batcher::Batcher;

const LANES: usize = 2;
const BATCH: usize = 500;

type Answer = Result<Accepted, BrokerError>;

/// The way in.
#[derive(Clone)]
pub(super) struct Publisher {
    batcher: Batcher<Envelope, Answer>,
}

impl Publisher {
    pub(super) fn start(broker: &'static str, database: Database, bell: Bell) -> Self {
        let work = move |batch: Vec<Envelope>| {
            let (database, bell) = (database.clone(), bell.clone());
            async move { write(broker, &database, &bell, batch).await }
        };
        Self { batcher: Batcher::start(LANES, BATCH, work) }
    }

    pub(super) async fn publish(&self, batch: Vec<Envelope>) -> Vec<Answer> {
        let count = batch.len();
        let closed = || (0..count).map(|_| Err(BrokerError::Closed)).collect();
        self.batcher.submit(batch).await.unwrap_or_else(closed)
    }
}

async fn write(broker: &'static str, database: &Database, bell: &Bell, batch: Vec<Envelope>) -> Vec<Answer> {
    let queues: HashSet<_> = batch.iter().map(|envelope| envelope.queue.clone()).collect();
    let times: Vec<Timestamp> = batch.iter().filter_map(|envelope| envelope.run_at).collect();
    let answers = ledger::enqueue(database, broker, batch).await;
    // With nothing accepted nobody waits for these times, and a database that is away would be asked once more.
    if answers.iter().any(Result::is_ok) {
        bell.due(&times).await;
    }
    queues.iter().for_each(|queue| bell.ring(queue));
    answers.into_iter().map(|answer| answer.map_err(|error| BrokerError::of_store(broker, error))).collect()
}
