//! The way in by hand: one INSERT a job on 64 connections, and INSERT + NOTIFY + fetch for the pick-up.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use futures::future::try_join_all;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::postgres::{FETCH, SCHEMA};
use crate::{
    harness::{Arm, Sample, Seen, Stopwatch, Unit},
    site::postgres::{PgSite, connect, figure, pause},
};

const CONNECTIONS: usize = 64;
const INSERT: &str = "INSERT INTO jobs (id, queue, kind, payload) VALUES ($1, 'bench', 'bench.noop', $2)";
const INSERT_AND_NOTIFY: &str = "WITH job AS (INSERT INTO jobs (id, queue, kind, payload) \
     VALUES ($1, 'bench', 'bench.noop', $2)) SELECT pg_notify('jobs', 'bench')";

/// One row a statement, 64 connections.
pub(crate) struct Inserts(PgSite);

impl Inserts {
    pub(crate) async fn new() -> Result<Self> {
        Ok(Self(PgSite::make("raw_inserts").await?))
    }
}

#[async_trait]
impl Arm for Inserts {
    fn name(&self) -> &'static str {
        "raw-inserts"
    }

    fn settings(&self) -> String {
        format!(
            "{CONNECTIONS} connections, one prepared INSERT a job, synchronous_commit on; {}",
            self.0.settings()
        )
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let each = (1_000.0 * scale) as usize;
        let jobs = (each * CONNECTIONS) as u64;
        self.0.admin.batch_execute(SCHEMA).await?;
        self.0.admin.batch_execute("CHECKPOINT").await?;
        let clients = try_join_all((0..CONNECTIONS).map(|_| prepared(&self.0.url))).await?;
        let watch = Stopwatch::start(self.0.server);
        let callers = clients.into_iter().enumerate().map(|(caller, (client, insert))| {
            tokio::spawn(async move {
                for n in caller * each..(caller + 1) * each {
                    client.execute(&insert, &[&(n as i64), &Seen::payload(n)]).await?;
                }
                anyhow::Ok(())
            })
        });
        for ended in futures::future::join_all(callers.collect::<Vec<_>>()).await {
            ended??;
        }
        let sample = watch.stop(jobs);
        let inserted = self.0.count("SELECT COUNT(*) FROM jobs").await?;
        ensure!(inserted == jobs, "void: {inserted} of {jobs} jobs are in the database");
        Ok(sample)
    }
}

async fn prepared(url: &str) -> Result<(Client, tokio_postgres::Statement)> {
    let client = connect(url).await?;
    let insert = client.prepare(INSERT).await?;
    Ok((client, insert))
}

/// INSERT with NOTIFY in one statement; a listening connection fetches when it hears.
pub(crate) struct Notified {
    name: &'static str,
    site: PgSite,
    percentile: f64,
}

impl Notified {
    pub(crate) async fn new(name: &'static str, percentile: f64) -> Result<Self> {
        Ok(Self { name, site: PgSite::make(&name.replace('-', "_")).await?, percentile })
    }
}

#[async_trait]
impl Arm for Notified {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        format!(
            "INSERT with pg_notify in one statement, LISTEN and a prepared fetch; {}",
            self.site.settings()
        )
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let samples = (400.0 * scale) as usize;
        self.site.admin.batch_execute(SCHEMA).await?;
        let (picked, mut picks) = mpsc::unbounded_channel();
        let (listener, mut heard) = listen(&self.site.url).await?;
        let fetch = listener.prepare(FETCH).await?;
        let worker = tokio::spawn(async move {
            while heard.recv().await.is_some() {
                if !listener.query(&fetch, &[&500_i64]).await?.is_empty() {
                    let _ = picked.send(Instant::now());
                }
            }
            anyhow::Ok(())
        });
        let producer = connect(&self.site.url).await?;
        let insert = producer.prepare(INSERT_AND_NOTIFY).await?;
        let watch = Stopwatch::start(self.site.server);
        let mut taken = Vec::with_capacity(samples);
        for n in 0..samples {
            tokio::time::sleep(pause(n)).await;
            let called = Instant::now();
            producer.query(&insert, &[&(n as i64), &Seen::payload(n)]).await?;
            let at = picks.recv().await.context("the fetching loop has ended")?;
            taken.push(at.saturating_duration_since(called));
        }
        let sample = watch.figure(samples as u64, figure(&mut taken, self.percentile), Unit::Milliseconds);
        worker.abort();
        Ok(sample)
    }
}

/// A connection that listens, and what it hears.
async fn listen(url: &str) -> Result<(Client, mpsc::UnboundedReceiver<()>)> {
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await?;
    let (hear, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            if matches!(message, AsyncMessage::Notification(_)) {
                let _ = hear.send(());
            }
        }
    });
    client.batch_execute("SET synchronous_commit = off; LISTEN jobs").await?;
    Ok((client, heard))
}
