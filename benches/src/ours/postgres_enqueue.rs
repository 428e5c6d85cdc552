//! Backshift's way in on PostgreSQL: many callers at once, and how soon an idle worker picks a job up.

use std::{sync::Arc, time::Instant};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use backshift_core::{Client, Envelope, JobContext, JobOptions, Kind, QueueName, Registry, Timestamp};
use backshift_runtime::Shutdown;
use tokio::sync::mpsc;

use super::postgres::{KIND, QUEUE, SLOTS, builder, empty, open};
use crate::{
    harness::{Arm, Sample, Seen, Stopwatch, Unit},
    site::postgres::{PgSite, figure, pause},
};

/// Callers that wait for their own answer.
const CALLERS: usize = 64;

/// Durable enqueues by 64 callers at once.
pub(crate) struct Enqueue(PgSite);

impl Enqueue {
    pub(crate) async fn new() -> Result<Self> {
        Ok(Self(PgSite::make("enqueue").await?))
    }
}

#[async_trait]
impl Arm for Enqueue {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn settings(&self) -> String {
        format!("{CALLERS} tasks, each enqueues and awaits its answer, one client; {}", self.0.settings())
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let each = (2_000.0 * scale) as usize;
        let jobs = (each * CALLERS) as u64;
        let store = open(&self.0).await?;
        empty(&self.0).await?;
        self.0.admin.batch_execute("CHECKPOINT").await?;
        let client = client(&store)?;
        let watch = Stopwatch::start(self.0.server);
        let callers = (0..CALLERS).map(|caller| {
            let client = client.clone();
            tokio::spawn(async move {
                for n in 0..each {
                    client.enqueue_raw(envelope(caller * each + n)?).await?;
                }
                anyhow::Ok(())
            })
        });
        for ended in futures::future::join_all(callers.collect::<Vec<_>>()).await {
            ended??;
        }
        let sample = watch.stop(jobs);
        let accepted =
            self.0.count("SELECT COUNT(*) FROM background_jobs WHERE status = 'available'").await?;
        ensure!(accepted == jobs, "void: {accepted} of {jobs} jobs are in the database");
        store.database().close().await;
        Ok(sample)
    }
}

/// From the call of enqueue to the first line of the handler, in an idle worker on connections of its own.
pub(crate) struct PickUp {
    name: &'static str,
    site: PgSite,
    percentile: f64,
}

impl PickUp {
    pub(crate) async fn new(name: &'static str, percentile: f64) -> Result<Self> {
        Ok(Self { name, site: PgSite::make(&name.replace('-', "_")).await?, percentile })
    }
}

#[async_trait]
impl Arm for PickUp {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        format!("idle worker, producer on connections of its own, woken by NOTIFY; {}", self.site.settings())
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let samples = (400.0 * scale) as usize;
        let (store, producer) = (open(&self.site).await?, open(&self.site).await?);
        empty(&self.site).await?;
        let (picked, mut picks) = mpsc::unbounded_channel();
        let handler = move |_: JobContext| {
            let _ = picked.send(Instant::now());
            async { Ok(()) }
        };
        let registry = Registry::default().with_raw(&Kind::new(KIND)?, JobOptions::default(), handler);
        let worker = builder(&store)?.registry(registry).pool(QueueName::new(QUEUE)?, SLOTS).build()?;
        let shutdown = Shutdown::new();
        let running = tokio::spawn(worker.run(shutdown.clone()));
        let client = client(&producer)?;
        client.enqueue_raw(envelope(0)?).await?;
        picks.recv().await.context("the worker has ended")?;
        let watch = Stopwatch::start(self.site.server);
        let mut taken = Vec::with_capacity(samples);
        for n in 0..samples {
            tokio::time::sleep(pause(n)).await;
            let called = Instant::now();
            client.enqueue_raw(envelope(n + 1)?).await?;
            let at = picks.recv().await.context("the worker has ended")?;
            taken.push(at.saturating_duration_since(called));
        }
        let sample = watch.figure(samples as u64, figure(&mut taken, self.percentile), Unit::Milliseconds);
        shutdown.quiet();
        running.await??;
        store.database().close().await;
        producer.database().close().await;
        Ok(sample)
    }
}

fn client(store: &backshift_store::SqlStore) -> Result<Client> {
    Ok(Client::new(Arc::new(backshift_brokers::postgres::broker(store.clone())?), None))
}

fn envelope(n: usize) -> Result<Envelope> {
    Ok(Envelope::new(Kind::new(KIND)?, QueueName::new(QUEUE)?, Seen::payload(n), Timestamp::now()))
}
