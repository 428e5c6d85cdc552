//! RabbitMQ without a store: A1 and A2 drain a queue, A4 enqueues. The same messages, queue type and prefetch for
//! every arm; classic and quorum queues on the same server.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use backshift_brokers::rabbitmq::{QueueType, RabbitMqBroker};
use backshift_core::{Broker, QueueName};
use futures::FutureExt;

use crate::{
    harness::{Arm, Bench, Goal, Row, Sample, Seen, Server, Stopwatch},
    ours::{self, worker::Drain},
    raw::rabbitmq::{PREFETCH, Raw},
};

/// A1, A2.
pub(crate) const DRAIN: Bench = Bench {
    name: "rabbitmq",
    about: "RabbitMQ without a store: a worker with 300 slots drains a queue, beside two hand-written lapin loops.",
    arms: |_| async { drains("RABBITMQ_URL") }.boxed(),
    rows: &DRAIN_ROWS,
};

/// The same on RabbitMQ 4, where there is one.
pub(crate) const DRAIN_4: Bench = Bench {
    name: "rabbitmq4",
    about: "The same on RabbitMQ 4.",
    arms: |_| async { drains("RABBITMQ4_URL") }.boxed(),
    rows: &DRAIN_ROWS,
};

/// A4.
pub(crate) const ENQUEUE: Bench = Bench {
    name: "rabbitmq-enqueue",
    about: "64 callers that each wait for their own confirm, beside a publisher with 1,000 confirms in flight.",
    arms: |_| async { enqueues("RABBITMQ_URL") }.boxed(),
    rows: &[
        row(
            "A4",
            "64 enqueues vs 1,000 confirms in flight, classic",
            "ours, classic",
            "pipelined, classic",
            0.85,
        ),
        row("A4q", "the same, quorum", "ours, quorum", "pipelined, quorum", 0.85),
        row(
            "A4w",
            "the same, classic, with as many confirms in flight as callers",
            "ours, classic",
            "64 in flight, classic",
            0.85,
        ),
        row("A4wq", "the same, quorum", "ours, quorum", "64 in flight, quorum", 0.85),
        row(
            "A4s",
            "64 enqueues vs one confirm at a time, classic",
            "ours, classic",
            "sequential, classic",
            10.0,
        ),
        row("A4sq", "the same, quorum", "ours, quorum", "sequential, quorum", 10.0),
    ],
};

const DRAIN_ROWS: [Row; 4] = [
    row("A1", "drain vs an ack awaited for each message, classic", "ours, classic", "naive, classic", 2.0),
    row("A1q", "the same, quorum", "ours, quorum", "naive, quorum", 3.0),
    row("A2", "drain vs one ack for 30 messages, classic", "ours, classic", "tuned, classic", 0.85),
    row("A2q", "the same, quorum", "ours, quorum", "tuned, quorum", 0.85),
];

const fn row(
    id: &'static str,
    what: &'static str,
    ours: &'static str,
    theirs: &'static str,
    goal: f64,
) -> Row {
    Row { id, what, ours, theirs: Some(theirs), goal: Goal::AtLeast(goal) }
}

/// Where the server is.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) server: Server,
    pub(crate) version: String,
}

impl Place {
    pub(crate) fn find(variable: &str) -> Result<Self> {
        let url = std::env::var(format!("BACKSHIFT_TEST_{variable}"))
            .with_context(|| format!("BACKSHIFT_TEST_{variable} is not set: `cargo xtask services up`"))?;
        let port = url::Url::parse(&url)?.port().unwrap_or(5672);
        let version = if variable.contains('4') { "RabbitMQ 4" } else { "RabbitMQ 3.10" }.to_owned();
        Ok(Self { url, server: Server::listening_on(port), version })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Ours,
    Tuned,
    Naive,
}

struct DrainArm {
    name: &'static str,
    way: Way,
    queue_type: QueueType,
    jobs: usize,
    place: Place,
    broker: Arc<RabbitMqBroker>,
}

fn drains(variable: &str) -> Result<Vec<Box<dyn Arm>>> {
    use QueueType::{Classic, Quorum};
    let arms = [
        ("ours, classic", Way::Ours, Classic, 100_000),
        ("tuned, classic", Way::Tuned, Classic, 100_000),
        ("naive, classic", Way::Naive, Classic, 25_000),
        ("ours, quorum", Way::Ours, Quorum, 200_000),
        ("tuned, quorum", Way::Tuned, Quorum, 200_000),
        ("naive, quorum", Way::Naive, Quorum, 50_000),
    ];
    arms.into_iter()
        .map(|(name, way, queue_type, jobs)| {
            let place = Place::find(variable)?;
            let broker = ours::rabbitmq::broker(&place.url, queue_type)?;
            Ok(Box::new(DrainArm { name, way, queue_type, jobs, place, broker }) as Box<dyn Arm>)
        })
        .collect()
}

#[async_trait]
impl Arm for DrainArm {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        let how = match self.way {
            Way::Ours => "Worker, 300 slots, no store",
            Way::Tuned => "lapin, prefetch 300, multiple ack every 30",
            Way::Naive => "lapin, prefetch 300, each ack awaited",
        };
        format!("{}, {how}, 150 B persistent", self.place.version)
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let jobs = (self.jobs as f64 * scale) as usize;
        let queue = QueueName::new(format!("bench-{}", uuid::Uuid::now_v7().simple()))?;
        ours::rabbitmq::fill(&*self.broker, &queue, jobs).await?;
        let seen = Arc::new(Seen::new(jobs));
        let sample = self.drain(&queue, &seen).await;
        let after = Raw::connect(&self.place.url).await?;
        let left = after.depth(queue.as_str()).await?;
        after.delete(queue.as_str()).await?;
        after.close().await?;
        seen.check()?;
        ensure!(left == 0, "{left} messages came back: their acks were lost");
        sample
    }
}

impl DrainArm {
    async fn drain(&self, queue: &QueueName, seen: &Arc<Seen>) -> Result<Sample> {
        if self.way == Way::Ours {
            let broker = ours::rabbitmq::broker(&self.place.url, self.queue_type)?;
            let drain = Drain {
                broker: broker.clone(),
                store: None,
                queue: queue.clone(),
                slots: usize::from(PREFETCH),
            };
            let watch = Stopwatch::start(self.place.server);
            drain.run(seen).await?;
            let sample = watch.stop(seen.jobs() as u64);
            broker.close().await?;
            return Ok(sample);
        }
        let raw = Raw::connect(&self.place.url).await?;
        let watch = Stopwatch::start(self.place.server);
        match self.way {
            Way::Naive => raw.drain_naive(queue.as_str(), seen).await?,
            _ => raw.drain_tuned(queue.as_str(), seen).await?,
        }
        let sample = watch.stop(seen.jobs() as u64);
        raw.close().await?;
        Ok(sample)
    }
}

struct EnqueueArm {
    name: &'static str,
    /// `None` = ours.
    in_flight: Option<usize>,
    queue_type: QueueType,
    jobs: usize,
    place: Place,
}

/// Callers at once, for our arm.
const CALLERS: usize = 64;

fn enqueues(variable: &str) -> Result<Vec<Box<dyn Arm>>> {
    use QueueType::{Classic, Quorum};
    let arms = [
        ("ours, classic", None, Classic, 40_000),
        ("pipelined, classic", Some(1000), Classic, 40_000),
        ("64 in flight, classic", Some(CALLERS), Classic, 40_000),
        ("sequential, classic", Some(1), Classic, 2_000),
        ("ours, quorum", None, Quorum, 40_000),
        ("pipelined, quorum", Some(1000), Quorum, 40_000),
        ("64 in flight, quorum", Some(CALLERS), Quorum, 40_000),
        ("sequential, quorum", Some(1), Quorum, 2_000),
    ];
    arms.into_iter()
        .map(|(name, in_flight, queue_type, jobs)| {
            let place = Place::find(variable)?;
            Ok(Box::new(EnqueueArm { name, in_flight, queue_type, jobs, place }) as Box<dyn Arm>)
        })
        .collect()
}

#[async_trait]
impl Arm for EnqueueArm {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        let how = match self.in_flight {
            None => format!("Client, {CALLERS} callers"),
            Some(1) => "lapin, each confirm awaited".to_owned(),
            Some(many) => format!("lapin, {many} confirms in flight"),
        };
        format!("{}, {how}, persistent, mandatory, 150 B, one header", self.place.version)
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let jobs = (self.jobs as f64 * scale) as usize;
        let queue = QueueName::new(format!("bench-{}", uuid::Uuid::now_v7().simple()))?;
        let broker = ours::rabbitmq::broker(&self.place.url, self.queue_type)?;
        broker.declare(&queue).await?;
        let raw = Raw::connect(&self.place.url).await?;
        // The first publish connects: not counted for any arm.
        broker.publish(vec![ours::rabbitmq::envelope(&queue, 0)?]).await.remove(0)?;
        let watch = Stopwatch::start(self.place.server);
        match self.in_flight {
            None => ours::rabbitmq::enqueue(broker.clone(), &queue, jobs, CALLERS).await?,
            Some(many) => raw.publish(queue.as_str(), jobs, many).await?,
        }
        let sample = watch.stop(jobs as u64);
        let depth = raw.depth(queue.as_str()).await? as usize;
        raw.delete(queue.as_str()).await?;
        raw.close().await?;
        broker.close().await?;
        ensure!(depth == jobs + 1, "{depth} messages are in the queue, {} were confirmed", jobs + 1);
        Ok(sample)
    }
}
