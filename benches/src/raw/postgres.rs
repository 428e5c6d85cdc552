//! PostgreSQL by hand: a jobs table, `SKIP LOCKED`, prepared statements, and nothing that an expert would leave out.
//!
//! The batch loop overlaps the completion of one batch with the fetch of the next one on the same connection, and
//! does not wait for the disk (`synchronous_commit = off`), because a job that was not finished runs again anyhow.

use std::sync::Arc;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use futures::future::try_join_all;
use tokio_postgres::{Client, Statement, types::ToSql};

use crate::{
    harness::{Arm, Sample, Seen, Stopwatch},
    site::postgres::{PgSite, connect, payload_sql, pin},
};

pub(super) const SCHEMA: &str = "
    DROP TABLE IF EXISTS jobs;
    CREATE TABLE jobs (
        id bigint PRIMARY KEY, queue text NOT NULL, kind text NOT NULL, state smallint NOT NULL DEFAULT 0,
        priority smallint NOT NULL DEFAULT 0, run_at timestamptz NOT NULL DEFAULT now(), attempt int NOT NULL DEFAULT 0,
        worker text, lease_until timestamptz, finished_at timestamptz, payload bytea NOT NULL
    ) WITH (fillfactor = 80);
    CREATE INDEX jobs_ready ON jobs (queue, priority, run_at, id) WHERE state = 0;";
pub(super) const FETCH: &str = "
    UPDATE jobs SET state = 1, attempt = attempt + 1, worker = 'w', lease_until = now() + interval '30 seconds'
    WHERE id IN (SELECT id FROM jobs WHERE state = 0 AND queue = 'bench' AND run_at <= now()
                 ORDER BY priority, run_at, id LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING id, payload";
const KEEP: &str = "UPDATE jobs SET state = 2, finished_at = now() WHERE id = ANY($1)";
const DELETE: &str = "DELETE FROM jobs WHERE id = ANY($1)";

/// What becomes of finished jobs.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Finished {
    Kept,
    Deleted,
}

/// A drain by loops, one a connection.
pub(crate) struct Loops {
    name: &'static str,
    site: PgSite,
    connections: usize,
    batch: i64,
    jobs: f64,
    finished: Finished,
    /// Another session keeps a snapshot open meanwhile.
    pinned: bool,
}

impl Loops {
    /// Two connections, batches of 500.
    pub(crate) async fn batched(name: &'static str, finished: Finished) -> Result<Self> {
        let site = PgSite::make(&name.replace('-', "_")).await?;
        Ok(Self { name, site, connections: 2, batch: 500, jobs: 200_000.0, finished, pinned: false })
    }

    /// Ten connections, one job at a time, as most hand-written workers do.
    pub(crate) async fn one_by_one(name: &'static str) -> Result<Self> {
        let site = PgSite::make(&name.replace('-', "_")).await?;
        Ok(Self {
            name,
            site,
            connections: 10,
            batch: 1,
            jobs: 10_000.0,
            finished: Finished::Kept,
            pinned: false,
        })
    }

    /// The same beside a session that holds a snapshot.
    pub(crate) fn pinned(self) -> Self {
        Self { pinned: true, ..self }
    }

    async fn fill(&self, jobs: u64) -> Result<()> {
        self.site.admin.batch_execute(SCHEMA).await?;
        let payload = payload_sql();
        let fill = format!(
            "CHECKPOINT; INSERT INTO jobs (id, queue, kind, payload) \
             SELECT i, 'bench', 'bench.noop', {payload} FROM generate_series(0, {jobs} - 1) i"
        );
        for sql in fill.split("; ") {
            self.site.admin.batch_execute(sql).await?;
        }
        Ok(self.site.admin.batch_execute("VACUUM ANALYZE jobs").await?)
    }

    async fn connect(&self) -> Result<Worker> {
        let client = connect(&self.site.url).await?;
        client.batch_execute("SET synchronous_commit = off").await?;
        let fetch = client.prepare(FETCH).await?;
        let finish = client.prepare(if self.finished == Finished::Kept { KEEP } else { DELETE }).await?;
        Ok(Worker { client, fetch, finish, batch: self.batch })
    }
}

#[async_trait]
impl Arm for Loops {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        let finished = if self.finished == Finished::Kept { "kept (UPDATE)" } else { "deleted" };
        format!(
            "tokio-postgres, {} connections, batches of {}, finished rows {finished}, synchronous_commit off; {}",
            self.connections,
            self.batch,
            self.site.settings()
        )
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let jobs = (self.jobs * scale) as u64;
        self.fill(jobs).await?;
        let seen = Arc::new(Seen::new(jobs as usize));
        let other = match self.pinned {
            true => Some(pin(&self.site).await?),
            false => None,
        };
        let workers = try_join_all((0..self.connections).map(|_| self.connect())).await?;
        let watch = Stopwatch::start(self.site.server);
        let loops = workers.into_iter().map(|worker| {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move { worker.drain(&seen).await })
        });
        for ended in futures::future::join_all(loops).await {
            ended??;
        }
        let sample = watch.stop(jobs);
        drop(other);
        seen.check()?;
        let left = self.site.count("SELECT COUNT(*) FROM jobs WHERE state <> 2").await?;
        ensure!(left == 0, "void: {left} jobs are not finished");
        Ok(sample)
    }
}

/// One connection of a drain.
struct Worker {
    client: Client,
    fetch: Statement,
    finish: Statement,
    batch: i64,
}

impl Worker {
    async fn drain(&self, seen: &Seen) -> Result<()> {
        let mut rows = self.client.query(&self.fetch, &[&self.batch]).await?;
        while !rows.is_empty() {
            let mut done: Vec<i64> = Vec::with_capacity(rows.len());
            for row in &rows {
                seen.mark(row.get::<_, &[u8]>(1))?;
                done.push(row.get(0));
            }
            done.sort_unstable();
            // Both are sent at once: one round trip.
            let (done_ids, batch) = ([&done as &(dyn ToSql + Sync)], [&self.batch as &(dyn ToSql + Sync)]);
            let finish = self.client.execute(&self.finish, &done_ids);
            let fetch = self.client.query(&self.fetch, &batch);
            let (finished, next) = futures::future::try_join(finish, fetch).await?;
            ensure!(finished == done.len() as u64, "void: {finished} of {} jobs were finished", done.len());
            rows = next;
        }
        Ok(())
    }
}
