//! SQLite by hand: one thread, one connection, prepared statements, as many rows a transaction as Backshift takes.
//!
//! The drain is the fastest that the table allows: the results of the last batch and the claim of the next one share
//! a transaction, and rows are found again by their integer rowid.

use std::sync::Arc;

use anyhow::{Context, Result};
use async_trait::async_trait;
use rusqlite::{Connection, params};

use crate::{
    harness::{Arm, Sample, Seen, Server, Stopwatch},
    site::sqlite::{INSERT, JobFile, QUEUE, Sync, new_id, now},
};

const CLAIM: &str = "UPDATE background_jobs SET status = 'running', token = token + 1, attempts = failures + 1, \
     worker = ?2, lease_until = ?3, started_at = ?4, updated_at = ?4 WHERE rowid IN (SELECT rowid FROM background_jobs \
     INDEXED BY background_jobs_claim WHERE status = 'available' AND broker = 'embedded' AND crashes < 3 AND aside IS NULL \
     AND queue = ?1 ORDER BY priority DESC, run_at, rowid LIMIT ?5) RETURNING rowid, token, payload";
const COMPLETE: &str = "UPDATE background_jobs SET status = 'completed', finished_at = ?3, updated_at = ?3 \
     WHERE rowid = ?1 AND token = ?2 AND status = 'running'";
const LEASE_US: i64 = 30_000_000;

/// Claims and completes batch after batch until the queue is empty.
pub(crate) struct Drain {
    pub(crate) name: &'static str,
    pub(crate) jobs: usize,
    pub(crate) batch: usize,
}

#[async_trait]
impl Arm for Drain {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        format!("rusqlite, one transaction completes {0} and claims {0}, WAL, synchronous NORMAL", self.batch)
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let jobs = (self.jobs as f64 * scale) as usize;
        let file = JobFile::filled(jobs).await?;
        let connection = file.connect(Sync::Normal)?;
        let seen = Arc::new(Seen::new(jobs));
        let (handled, batch) = (Arc::clone(&seen), self.batch);
        let watch = Stopwatch::start(Server::none());
        let draining = tokio::task::spawn_blocking(move || drain(&connection, &handled, batch));
        draining.await.context("the loop panicked")??;
        let sample = watch.stop(jobs as u64);
        seen.check()?;
        file.check(jobs)?;
        Ok(sample)
    }
}

fn drain(connection: &Connection, seen: &Seen, batch: usize) -> Result<()> {
    let mut begin = connection.prepare("BEGIN IMMEDIATE")?;
    let mut commit = connection.prepare("COMMIT")?;
    let mut claim = connection.prepare(CLAIM)?;
    let mut complete = connection.prepare(COMPLETE)?;
    let mut held: Vec<(i64, i64)> = Vec::with_capacity(batch);
    loop {
        begin.execute([])?;
        let time = now();
        for (row, token) in held.drain(..) {
            complete.execute(params![row, token, time])?;
        }
        let mut payloads: Vec<Vec<u8>> = Vec::with_capacity(batch);
        let mut rows = claim.query(params![QUEUE, "bench", time + LEASE_US, time, batch as i64])?;
        while let Some(row) = rows.next()? {
            held.push((row.get(0)?, row.get(1)?));
            payloads.push(row.get(2)?);
        }
        drop(rows);
        commit.execute([])?;
        if held.is_empty() {
            return Ok(());
        }
        for payload in &payloads {
            seen.mark(payload)?;
        }
    }
}

/// Inserts batch after batch, each synced before the next one begins.
pub(crate) struct Insert {
    pub(crate) name: &'static str,
    pub(crate) jobs: usize,
    pub(crate) batch: usize,
    /// Into a table of an integer and a payload, not into Backshift's.
    pub(crate) bare: bool,
}

const BARE: &str = "CREATE TABLE bare (id INTEGER PRIMARY KEY, payload BLOB NOT NULL) STRICT";
const BARE_INSERT: &str = "INSERT INTO bare (payload) VALUES (?1)";

#[async_trait]
impl Arm for Insert {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        let table = if self.bare { "a bare table" } else { "Backshift's table" };
        format!("rusqlite, {} rows a transaction into {table}, WAL, synchronous FULL", self.batch)
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let jobs = (self.jobs as f64 * scale) as usize;
        let file = JobFile::make().await?;
        let connection = file.connect(Sync::Full)?;
        connection.execute(BARE, [])?;
        let (batch, bare) = (self.batch, self.bare);
        let payloads: Vec<Vec<u8>> = (0..jobs).map(Seen::payload).collect();
        let watch = Stopwatch::start(Server::none());
        let inserting = tokio::task::spawn_blocking(move || insert(&connection, &payloads, batch, bare));
        let inserted = inserting.await.context("the loop panicked")??;
        Ok(watch.stop(inserted as u64))
    }
}

/// Returns how many rows were inserted.
fn insert(connection: &Connection, payloads: &[Vec<u8>], batch: usize, bare: bool) -> Result<usize> {
    let mut begin = connection.prepare("BEGIN IMMEDIATE")?;
    let mut commit = connection.prepare("COMMIT")?;
    let mut insert = connection.prepare(if bare { BARE_INSERT } else { INSERT })?;
    let mut inserted = 0;
    for chunk in payloads.chunks(batch) {
        begin.execute([])?;
        let time = now();
        for payload in chunk {
            inserted += match bare {
                true => insert.execute(params![payload])?,
                false => insert.execute(params![new_id(), time, payload, [0_u8; 32]])?,
            };
        }
        commit.execute([])?;
    }
    Ok(inserted)
}
