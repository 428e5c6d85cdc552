//! A broker and a store that belong together.
//!
//! Opening brings up the schema of an embedded file; on a server it only checks it unless it is told to migrate, because that
//! is a decision of whoever owns the database.

use std::{sync::Arc, time::Duration};

use backshift_core::{Broker, Endings, Registry, Store};
use backshift_runtime::Worker;
use backshift_store::{Database, HandsRetention, SqlStore};

use crate::{Client, Shift};

/// How long it is known who did what by hand: a year, as the binary keeps it unless it is told otherwise.
const KEEP_HANDS: Duration = Duration::from_secs(365 * 86_400);

/// A place for jobs: what moves them and what remembers them. Cheap to clone.
///
/// ```
/// # use backshift::{Backshift, Job, JobContext, JobResult, Registry, State};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct Resize { picture: u64 }
/// # impl Job for Resize { const KIND: &'static str = "picture.resize"; }
/// # async fn resize(_: Resize, _: JobContext) -> JobResult { Ok(()) }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let file = tempfile::tempdir()?.keep().join("jobs.db");
/// # let path = file.to_string_lossy();
/// let site = Backshift::embedded(&path).await?;
/// let client = site.client();
/// let id = client.enqueue(&Resize { picture: 7 }).await?;
///
/// let worker = site.worker(Registry::default().with(resize)).pool("default", 10)?;
/// // A program of yours would run until `backshift::stop_signal()`.
/// worker.run(async { drop(client.wait(id).await) }).await?;
/// assert_eq!(client.wait(id).await?.state, State::Completed);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Backshift {
    broker: Arc<dyn Broker>,
    store: Arc<SqlStore>,
    endings: Endings,
}

impl Backshift {
    pub(crate) fn of(broker: Arc<dyn Broker>, store: SqlStore) -> Self {
        Self { broker, store: Arc::new(store), endings: Endings::default() }
    }

    /// Enqueues jobs, and waits for their ends.
    pub fn client(&self) -> Client {
        backshift_core::Client::new(Arc::clone(&self.broker), Some(self.store()))
            .with_endings(self.endings.clone())
            .into()
    }

    /// A worker with these handlers; give it pools and run it.
    pub fn worker(&self, registry: Registry) -> Shift {
        let builder = Worker::builder()
            .broker(Arc::clone(&self.broker))
            .store(self.store())
            .retention(Arc::new(HandsRetention::new(self.database().clone(), KEEP_HANDS)))
            .endings(self.endings.clone());
        Shift::new(builder, registry)
    }

    /// Sends what others wait to hear and lets go of the servers: the last thing that a short program does. What was accepted is
    /// durable without it; other processes would find it at their next poll.
    pub async fn close(&self) {
        let _ = self.broker.close().await;
    }

    /// The database under the store, for effects in a transaction with the completion.
    pub fn database(&self) -> &Database {
        self.store.database()
    }

    /// What remembers jobs.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    /// What moves them.
    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::clone(&self.broker)
    }
}
