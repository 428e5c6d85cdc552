//! AL: what the ledger costs a worker on RabbitMQ. Both arms write the same rows of the same table; the queue is
//! RabbitMQ's in one and the table itself in the other.

use std::sync::Arc;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use backshift_brokers::rabbitmq::QueueType;
use backshift_core::{Broker, QueueName};
use futures::FutureExt;

use super::rabbitmq::Place;
use crate::{
    harness::{Arm, Bench, Goal, Row, Sample, Seen, Stopwatch},
    ours::{self, worker::Drain},
    raw::rabbitmq::Raw,
    site::postgres::PgSite,
};

/// The bench.
pub(crate) const BENCH: Bench = Bench {
    name: "rabbitmq-ledger",
    about: "RabbitMQ with the ledger on PostgreSQL, beside our own PostgreSQL broker.",
    arms: |_| arms().boxed(),
    rows: &[
        row("AL", "drain with the ledger, classic queue, vs the PostgreSQL broker", "ledger, classic"),
        row("ALq", "the same, quorum queue", "ledger, quorum"),
    ],
};

const fn row(id: &'static str, what: &'static str, ours: &'static str) -> Row {
    Row { id, what, ours, theirs: Some("postgres"), goal: Goal::AtLeast(0.5) }
}

async fn arms() -> Result<Vec<Box<dyn Arm>>> {
    Ok(vec![
        Box::new(Ledger::new("ledger, classic", QueueType::Classic).await?),
        Box::new(ours::postgres::Drain::new("postgres", ours::postgres::Sort::Plain).await?),
        Box::new(Ledger::new("ledger, quorum", QueueType::Quorum).await?),
    ])
}

struct Ledger {
    name: &'static str,
    queue_type: QueueType,
    rabbit: Place,
    site: PgSite,
}

impl Ledger {
    async fn new(name: &'static str, queue_type: QueueType) -> Result<Self> {
        let site = PgSite::make(&name.replace([',', ' '], "_")).await?;
        Ok(Self { name, queue_type, rabbit: Place::find("RABBITMQ_URL")?, site })
    }
}

#[async_trait]
impl Arm for Ledger {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        let (slots, rabbit) = (ours::postgres::SLOTS, &self.rabbit.version);
        format!("Worker with {slots} slots, {rabbit}, SqlStore; {}", self.site.settings())
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let jobs = (60_000.0 * scale) as usize;
        let store = ours::postgres::open(&self.site).await?;
        self.site.admin.batch_execute("TRUNCATE background_jobs, job_attempts").await?;
        self.site.admin.batch_execute("CHECKPOINT").await?;
        let queue = QueueName::new(format!("bench-{}", uuid::Uuid::now_v7().simple()))?;
        let broker = ours::rabbitmq::broker(&self.rabbit.url, self.queue_type)?;
        ours::rabbitmq::fill(&*broker, &queue, jobs).await?;
        let seen = Arc::new(Seen::new(jobs));
        let drain = Drain {
            broker: broker.clone(),
            store: Some(Arc::new(store.clone())),
            queue: queue.clone(),
            slots: ours::postgres::SLOTS,
        };
        let watch = Stopwatch::start(self.site.server);
        let ended = drain.run(&seen).await;
        let sample = watch.stop(jobs as u64);
        broker.close().await?;
        let raw = Raw::connect(&self.rabbit.url).await?;
        let left = raw.depth(queue.as_str()).await?;
        raw.delete(queue.as_str()).await?;
        raw.close().await?;
        let done = self.site.count("SELECT COUNT(*) FROM background_jobs WHERE status = 'completed'").await?;
        store.database().close().await;
        ended?;
        ensure!(
            left == 0 && done == jobs as u64,
            "void: {left} messages are left, {done} of {jobs} rows are done"
        );
        Ok(sample)
    }
}
