//! `apalis-sqlite` on a file of its own. The clock stops when the *file* shows every job as done.

use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags};

use super::process::Process;
use crate::{
    harness::{Arm, Sample, Server, Stopwatch},
    site::sqlite::folder,
};

/// A drain by the peer.
pub(crate) struct Apalis {
    pub(crate) jobs: usize,
}

#[async_trait]
impl Arm for Apalis {
    fn name(&self) -> &'static str {
        "apalis-sqlite"
    }

    fn settings(&self) -> String {
        "crate apalis-sqlite 1.0.0, batches of 256, concurrency 256, polls every 5 ms, no lock step, WAL, synchronous \
         NORMAL"
            .to_owned()
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let jobs = (self.jobs as f64 * scale) as u64;
        let folder = folder()?;
        let file = folder.path().join("apalis.db");
        let mut process =
            Process::start("apalis-sqlite", file.to_str().context("a path that is no text")?, jobs)?;
        process.says("filled").await?;
        let own = process.server()?;
        let before = own.seconds().unwrap_or_default();
        let connection = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let watch = Stopwatch::start(Server::none());
        process.go().await?;
        process.says("handled").await?;
        while left(&connection)? > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let sample = watch.stop(jobs);
        let used = own.seconds().unwrap_or_default() - before;
        process.end().await?;
        Ok(Sample { client_cpu: used * 1000.0 / jobs as f64, ..sample })
    }
}

fn left(connection: &Connection) -> Result<i64> {
    let left = "SELECT COUNT(*) FROM (SELECT 1 FROM Jobs WHERE status <> 'Done' LIMIT 1)";
    Ok(connection.query_row(left, [], |row| row.get(0))?)
}
