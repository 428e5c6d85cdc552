//! Other queues on PostgreSQL, each a program that fills its own tables, waits to be told, and drains.
//!
//! The clock stops when the peer's *table* shows every job as done, not when its handlers have returned.

use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;

use super::process::Process;
use crate::{
    harness::{Arm, Sample, Stopwatch},
    site::postgres::PgSite,
};

/// A drain by a peer.
pub(crate) struct Peer {
    name: &'static str,
    site: PgSite,
    /// What is not done yet.
    left: &'static str,
    settings: &'static str,
}

impl Peer {
    /// The crate `graphile_worker`.
    pub(crate) async fn graphile() -> Result<Self> {
        Ok(Self {
            name: "graphile",
            site: PgSite::make("graphile").await?,
            left: "SELECT COUNT(*) FROM (SELECT 1 FROM graphile_worker._private_jobs LIMIT 1) one",
            settings: "crate graphile_worker 0.14.1 (sqlx), as its own bench: concurrency 500, local queue 5000, \
                       completions gathered for 5 ms; finished rows deleted",
        })
    }

    /// River.
    pub(crate) async fn river() -> Result<Self> {
        Ok(Self {
            name: "river",
            site: PgSite::make("river").await?,
            left: "SELECT COUNT(*) FROM (SELECT 1 FROM river_job WHERE state <> 'completed' LIMIT 1) one",
            settings: "River 0.51.1 (Go), FetchCooldown 2 ms, FetchPollInterval 20 ms, 500 workers; finished rows kept",
        })
    }
}

#[async_trait]
impl Arm for Peer {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        format!("{}; {}", self.settings, self.site.settings())
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let jobs = (100_000.0 * scale) as u64;
        self.site = PgSite::make(self.name).await?;
        let mut process = Process::start(self.name, &self.site.url, jobs)?;
        process.says("filled").await?;
        let own = process.server()?;
        let before = own.seconds().unwrap_or_default();
        let watch = Stopwatch::start(self.site.server);
        process.go().await?;
        process.says("handled").await?;
        while self.site.count(self.left).await? > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let sample = watch.stop(jobs);
        let used = own.seconds().unwrap_or_default() - before;
        process.end().await?;
        Ok(Sample { client_cpu: used * 1000.0 / jobs as f64, ..sample })
    }
}
