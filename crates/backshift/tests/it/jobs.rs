//! Jobs and places that the tests share.

use backshift::{Backshift, Job, JobContext, JobResult, testkit::servers::TestDatabase};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    pub number: u64,
}

impl Job for Order {
    const KIND: &'static str = "order.ship";
    const QUEUE: &'static str = "orders";
}

pub async fn ship(_: Order, _: JobContext) -> JobResult {
    Ok(())
}

/// A site on a file of its own, and its path.
pub async fn embedded() -> (TempDir, String, Backshift) {
    let place = TempDir::new().unwrap();
    let path = place.path().join("jobs.db").to_string_lossy().into_owned();
    let site = Backshift::embedded(&path).await.unwrap();
    (place, path, site)
}

/// A site on a database of its own, and its URL.
pub async fn postgres() -> Option<(TestDatabase, String, Backshift)> {
    let database = TestDatabase::create().await?;
    let url = database.url();
    let site = Backshift::postgres(&url).migrate().await.unwrap();
    Some((database, url, site))
}
