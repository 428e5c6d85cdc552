//! The memory of the real binary: idle, draining with the ledger, with a million jobs before it, with a dead sink, after
//! mails of the largest size.
//!
//! Resident memory is what `/proc/PID/status` says; the million is drained under a limit of the kernel, which would
//! kill the worker beyond it. Probe jobs have an effect of their own in the ledger's database, so nothing is a no-op.

use std::{
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use backshift_brokers::{embedded, postgres, rabbitmq::QueueType};
use backshift_core::{Broker, Clock, Envelope, Kind, QueueName, SystemClock};
use backshift_store::{Database, Options, SqlStore, migrate};
use futures::FutureExt;
use tempfile::TempDir;
use tokio::time::sleep;

use super::rabbitmq::Place;
use crate::{
    harness::{Arm, Bench, Goal, Row, Sample, Server, Stopwatch, Unit},
    ours::{self, binary::Binary},
    raw::mail_sink::Sink,
    site::postgres::PgSite,
};

/// Idle, under load, without a sink, after large mails.
pub(crate) const MEMORY: Bench = Bench {
    name: "memory",
    about: "Resident memory of `backshift worker` on RabbitMQ with the ledger on PostgreSQL.",
    arms: |_| {
        async {
            Ok(vec![
                arm("idle", Moment::Idle, Source::RabbitMq, 0),
                arm("load", Moment::Peak { limit: None }, Source::RabbitMq, 200_000),
                arm("dead sink", Moment::DeadSink, Source::RabbitMq, 50_000),
                arm("large mails", Moment::LargeMails, Source::RabbitMq, 100),
            ])
        }
        .boxed()
    },
    rows: &[
        row("RSS-idle", "resident after 15 s with nothing to do, MiB", "idle", 24.0),
        row("RSS-load", "the most while 200,000 probe jobs are drained, MiB", "load", 64.0),
        row("RSS-outage", "the most in 30 s with 50,000 mails and no SMTP server, MiB", "dead sink", 64.0),
        row("RSS-large", "resident 15 s after 100 mails of 15.5 MiB, ten at once, MiB", "large mails", 64.0),
    ],
};

/// A million jobs, once for each broker; minutes long, so a bench of its own.
pub(crate) const MILLION: Bench = Bench {
    name: "memory-million",
    about: "A million probe jobs are in the queue when a worker with a 64 MiB limit of the kernel starts; it drains them.",
    arms: |_| {
        async {
            let limit = Some(64 * 1024 * 1024);
            Ok(vec![
                arm("million, rabbitmq", Moment::Peak { limit }, Source::RabbitMq, 1_000_000),
                arm("million, postgres", Moment::Peak { limit }, Source::Postgres, 1_000_000),
                arm("million, embedded", Moment::Peak { limit }, Source::Embedded, 1_000_000),
            ])
        }
        .boxed()
    },
    rows: &[
        row(
            "RSS-1M",
            "the most while 1,000,000 jobs are drained from RabbitMQ, MiB",
            "million, rabbitmq",
            64.0,
        ),
        row("RSS-1M-pg", "the same from PostgreSQL", "million, postgres", 64.0),
        row("RSS-1M-em", "the same from the embedded broker", "million, embedded", 64.0),
    ],
};

const fn row(id: &'static str, what: &'static str, ours: &'static str, goal: f64) -> Row {
    Row { id, what, ours, theirs: None, goal: Goal::AtMost(goal) }
}

/// The queue that the worker is given, and its slots.
const SLOTS: usize = 100;
const LARGE_SLOTS: usize = 10;
const MAILS: &str = "smtp_send_email";

#[derive(Clone, Copy, PartialEq)]
enum Moment {
    /// Settled, with nothing to do.
    Idle,
    /// Until everything is drained.
    Peak { limit: Option<u64> },
    /// For half a minute, while no mail can be sent.
    DeadSink,
    /// A while after mails of the largest size, when the memory that they took can be back at the system.
    LargeMails,
}

impl Moment {
    fn is_about_mails(self) -> bool {
        matches!(self, Self::DeadSink | Self::LargeMails)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Source {
    RabbitMq,
    Postgres,
    Embedded,
}

struct MemoryArm {
    name: &'static str,
    moment: Moment,
    source: Source,
    jobs: usize,
}

fn arm(name: &'static str, moment: Moment, source: Source, jobs: usize) -> Box<dyn Arm> {
    Box::new(MemoryArm { name, moment, source, jobs })
}

/// Everything that one measurement has made for itself.
struct Site {
    folder: TempDir,
    database: Database,
    /// Counts on PostgreSQL.
    _postgres: Option<PgSite>,
    broker: Arc<dyn Broker>,
    broker_url: String,
    store_url: String,
    queue: QueueName,
    server: Server,
}

#[async_trait]
impl Arm for MemoryArm {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        let source = match self.source {
            Source::RabbitMq => "RabbitMQ, ledger on PostgreSQL",
            Source::Postgres => "PostgreSQL",
            Source::Embedded => "embedded",
        };
        let limit = match self.moment {
            Moment::Peak { limit: Some(limit) } => format!(", cgroup limit {} MiB", limit / 1024 / 1024),
            _ => String::new(),
        };
        let work = match self.moment {
            Moment::LargeMails => format!("{LARGE_SLOTS} slots, mails of 15.5 MiB"),
            Moment::DeadSink => format!("{SLOTS} slots, mails"),
            _ => format!("{SLOTS} slots, probe jobs with an effect in the database"),
        };
        format!("{source}, {work}{limit}")
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let site = self.site().await?;
        let jobs = (self.jobs as f64 * scale) as usize;
        let sample = self.on(&site, jobs).await;
        if self.source == Source::RabbitMq {
            let raw = crate::raw::rabbitmq::Raw::connect(&site.broker_url).await?;
            raw.delete(site.queue.as_str()).await?;
            raw.close().await?;
        }
        site.broker.close().await?;
        site.database.close().await;
        sample
    }
}

impl MemoryArm {
    async fn site(&self) -> Result<Site> {
        let folder = tempfile::tempdir_in(std::env::current_exe()?.parent().context("no folder")?)?;
        let postgres = match self.source {
            Source::Embedded => None,
            _ => Some(PgSite::make("memory").await?),
        };
        let file = folder.path().join("jobs.db");
        let store_url =
            postgres.as_ref().map_or_else(|| format!("sqlite:{}", file.display()), |site| site.url.clone());
        let database = Database::open(&store_url, &Options::default())?;
        migrate::up(&database, &[&migrate::ENGINE, &backshift_domains::probe::TABLES]).await?;
        let store = SqlStore::new(database.clone());
        let place = Place::find("RABBITMQ_URL")?;
        // The mails' queue is a foreign one: declared as its peers do, without arguments.
        let queue_type = if self.moment.is_about_mails() { QueueType::Classic } else { QueueType::Quorum };
        let (broker, broker_url): (Arc<dyn Broker>, String) = match self.source {
            Source::RabbitMq => (ours::rabbitmq::broker(&place.url, queue_type)?, place.url.clone()),
            Source::Postgres => (Arc::new(postgres::broker(store)?), store_url.clone()),
            Source::Embedded => (Arc::new(embedded::broker(store)?), format!("embedded:{}", file.display())),
        };
        let queue = match self.moment {
            moment if moment.is_about_mails() => MAILS.to_owned(),
            _ => format!("bench-{}", uuid::Uuid::now_v7().simple()),
        };
        let server = place.server;
        let queue = QueueName::new(queue)?;
        Ok(Site { folder, database, _postgres: postgres, broker, broker_url, store_url, queue, server })
    }

    async fn on(&self, site: &Site, jobs: usize) -> Result<Sample> {
        match self.moment {
            Moment::DeadSink => fill(site, jobs, "email.send", mail).await?,
            Moment::LargeMails => fill(site, jobs, "email.send", large_mail).await?,
            _ => fill(site, jobs, "backshift.probe", probe).await?,
        }
        let watch = Stopwatch::start(site.server);
        let sink = (self.moment == Moment::LargeMails).then(Sink::start).transpose()?;
        let mut worker = start(site, self.moment, sink.as_ref().map(|sink| sink.port))?;
        let mebibytes = match self.moment {
            Moment::Idle => {
                consuming(&mut worker).await?;
                sleep(Duration::from_secs(15)).await;
                worker.resident()?
            }
            Moment::Peak { .. } => {
                drained(site, &mut worker, jobs).await?;
                worker.peak()?
            }
            Moment::DeadSink => {
                consuming(&mut worker).await?;
                sleep(Duration::from_secs(30)).await;
                worker.lives()?;
                worker.peak()?
            }
            Moment::LargeMails => {
                sent(site, &mut worker, sink.as_ref().context("no sink")?, jobs).await?;
                sleep(Duration::from_secs(15)).await;
                eprintln!("  {:.0} MiB at the most", worker.peak()?);
                worker.resident()?
            }
        };
        let sample = watch.figure(jobs as u64, mebibytes, Unit::Mebibytes);
        worker.stop()?;
        Ok(sample)
    }
}

/// Puts so many jobs into the queue.
async fn fill(site: &Site, jobs: usize, kind: &str, payload: fn(usize) -> String) -> Result<()> {
    // Of large ones only a few: the whole batch is in this process.
    let at_once = if payload(0).len() > 1 << 20 { 4 } else { 4096 };
    site.broker.declare(&site.queue).await?;
    let kind = Kind::new(kind)?;
    for begin in (0..jobs).step_by(at_once) {
        let one =
            |number| Envelope::new(kind.clone(), site.queue.clone(), payload(number), SystemClock.now());
        for accepted in site.broker.publish((begin..jobs.min(begin + at_once)).map(one).collect()).await {
            accepted?;
        }
    }
    Ok(())
}

fn probe(number: usize) -> String {
    format!("{{\"key\":\"k{number}\",\"mode\":\"ok\",\"pad\":\"{:x<100}\"}}", "")
}

fn mail(number: usize) -> String {
    format!("{{\"recipient\":\"p{number}@example.org\",\"subject\":\"s\",\"body\":\"{:x<400}\"}}", "")
}

/// Just below what a RabbitMQ 4 takes as it comes.
fn large_mail(number: usize) -> String {
    let file = "QmFja3NoaWZ0".repeat((155 << 20) / 10 / 12);
    format!(
        "{{\"recipient\":\"p{number}@example.org\",\"subject\":\"s\",\"attachments\":[{{\"data\":\"{file}\"}}]}}"
    )
}

fn start(site: &Site, moment: Moment, sink: Option<u16>) -> Result<Binary> {
    let slots = if moment == Moment::LargeMails { LARGE_SLOTS } else { SLOTS };
    let queue = format!("{}:{slots}", site.queue);
    let arguments = ["worker", "--broker", &site.broker_url, "--store", &site.store_url, "--queue", &queue];
    let limit = match moment {
        Moment::Peak { limit } => limit,
        _ => None,
    };
    let mut variables = vec![
        ("BACKSHIFT_PROBE", "true".to_owned()),
        ("BACKSHIFT_WORKER_HTTP_ADDR", format!("127.0.0.1:{}", free_port()?)),
    ];
    if moment.is_about_mails() {
        // Without a sink nothing listens there.
        variables.push(("SMTP_HOST", "127.0.0.1".to_owned()));
        variables.push(("SMTP_PORT", sink.map_or_else(free_port, Ok)?.to_string()));
        variables.push(("SMTP_FROM", "bench@example.org".to_owned()));
        variables.push(("BACKSHIFT_SMTP_TLS", "none".to_owned()));
    }
    Binary::start(site.folder.path(), &arguments, &variables, limit)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until the worker says that it consumes.
async fn consuming(worker: &mut Binary) -> Result<()> {
    let began = Instant::now();
    while !worker.log().contains("is being consumed") {
        worker.lives()?;
        ensure!(began.elapsed() < Duration::from_secs(30), "the worker does not consume: {}", worker.log());
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Waits until the sink has taken every mail.
async fn sent(site: &Site, worker: &mut Binary, sink: &Sink, mails: usize) -> Result<()> {
    let began = Instant::now();
    while count(site, "SELECT COUNT(*) FROM background_jobs WHERE status = 'completed'").await? < mails as i64
    {
        worker.lives()?;
        ensure!(
            began.elapsed() < Duration::from_secs(300),
            "{} of {mails} mails: {}",
            sink.taken()?,
            worker.log()
        );
        sleep(Duration::from_millis(200)).await;
    }
    ensure!(sink.taken()? == mails as u64, "{} of {mails} mails arrived", sink.taken()?);
    Ok(())
}

/// Waits until the ledger shows every job as completed and every effect once.
async fn drained(site: &Site, worker: &mut Binary, jobs: usize) -> Result<()> {
    let (began, mut before, mut moved) = (Instant::now(), 0, Instant::now());
    loop {
        sleep(Duration::from_secs(1)).await;
        worker.lives()?;
        let done = count(site, "SELECT COUNT(*) FROM backshift_probe_effects").await?;
        if done > before {
            (before, moved) = (done, Instant::now());
        }
        ensure!(moved.elapsed() < Duration::from_secs(60), "{done} of {jobs} jobs, and no more");
        if done < jobs as i64 {
            continue;
        }
        let completed = "SELECT COUNT(*) FROM background_jobs WHERE status = 'completed'";
        if count(site, completed).await? == jobs as i64 && site.broker.depth(&site.queue).await? == 0 {
            let keys = count(site, "SELECT COUNT(DISTINCT key) FROM backshift_probe_effects").await?;
            ensure!(done == jobs as i64 && keys == done, "{done} effects of {keys} jobs");
            eprintln!("  drained {jobs} in {:.0} s", began.elapsed().as_secs_f64());
            return Ok(());
        }
    }
}

async fn count(site: &Site, sql: &'static str) -> Result<i64> {
    Ok(site.database.sql(sql).one::<(i64,)>().await?.0)
}
