//! Do my own handlers survive? Workers of this very program are killed under load, then every job is counted.
//!
//! The program has two roles: started by you it is the test; started by the test, with a site, it is one of the
//! workers. So what is killed is a process, and the handler in it is yours.

use std::error::Error;

use backshift::{
    Backshift, EnqueueOptions, Handler, Job, JobContext, JobResult, Kind, QueueName, Registry, finish_in,
    store::Database,
    testkit::survival::{
        self, ClientProducer, Expected, Fault, Ground, Plan, Site, Stage, Survival, WorkerProgram,
    },
};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Serialize, Deserialize)]
struct Credit {
    cents: i64,
}

impl Job for Credit {
    const KIND: &'static str = "account.credit";
}

struct Crediter(Database);

impl Handler<Credit> for Crediter {
    async fn handle(&self, job: Credit, context: JobContext) -> JobResult {
        let mut tx = self.0.begin().await?;
        let text = "INSERT INTO credits (job_id, cents) VALUES ($1, $2)";
        tx.sql(text).bind(context.id()).bind(job.cents).run().await?;
        finish_in(&mut tx, &context).await?;
        tx.commit().await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match survival::role() {
        Some((site, name)) => work(&site, &name).await,
        None => test().await,
    }
}

/// The site that the runner made. Another ground has other URLs: match on `site.broker`.
async fn open(site: &Site) -> Result<Backshift, Box<dyn Error>> {
    Ok(Backshift::embedded(site.broker.trim_start_matches("embedded:")).await?)
}

async fn work(site: &Site, name: &str) -> Result<(), Box<dyn Error>> {
    let here = open(site).await?;
    let mut told = signal(SignalKind::terminate())?;
    let worker = here.worker(Registry::default().with(Crediter(here.database().clone())));
    worker
        .pool(&site.queue, 8)?
        .name(name)?
        .run(async move { told.recv().await.unwrap_or_default() })
        .await?;
    Ok(())
}

async fn test() -> Result<(), Box<dyn Error>> {
    let stage = Stage::open(Ground::EMBEDDED).await?;
    let here = open(stage.site()).await?;
    let table = "CREATE TABLE credits (job_id TEXT NOT NULL, cents BIGINT NOT NULL)";
    here.database().sql(table).run().await?;
    let (kind, queue) = (Kind::new(Credit::KIND)?, QueueName::new(&stage.site().queue)?);
    let client = here.client();
    let producer = ClientProducer::new(client.clone().into(), move |number| {
        let payload = format!(r#"{{"cents":{number}}}"#);
        (
            client.envelope(kind.clone(), queue.clone(), payload, EnqueueOptions::default()),
            Expected::default(),
        )
    });
    let plan = Plan::seeded(1).with(4, Fault::KillWorker).with(1, Fault::KillAllWorkers);
    let report = Survival::new(stage, WorkerProgram::this_program(&[])?, producer)
        .jobs(500)
        .plan(plan)
        .effects("SELECT job_id, count(*) FROM credits GROUP BY job_id")
        .run()
        .await?;
    println!("{report}");
    if report.holds() { Ok(()) } else { Err("a promise was broken".into()) }
}
