//! A job every working day at seven in Berlin, once, however many of these programs run. Stop it with Ctrl-C.

use backshift::{
    Backshift, Job, JobContext, JobResult, Kind, Missed, Overlap, QueueName, Registry, Schedule,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Report {
    recipient: String,
}

impl Job for Report {
    const KIND: &'static str = "report.daily";
}

async fn report(job: Report, context: JobContext) -> JobResult {
    println!("{}: the report for {}", context.id(), job.recipient);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let site = Backshift::embedded("jobs.db").await?;
    let payload = serde_json::to_vec(&Report { recipient: "anna".into() })?;
    let (kind, queue) = (Kind::new(Report::KIND)?, QueueName::new("default")?);
    let every_working_day = Schedule::new("daily-report", "0 7 * * 1-5", kind, queue, payload)?
        .zone("Europe/Berlin")?
        .missed(Missed::RunOnce) // after a night off: the latest tick, not all of them
        .overlap(Overlap::Skip); // not while yesterday's still runs
    let worker = site.worker(Registry::default().with(report)).pool("default", 2)?;
    let worker = worker.with(|builder| builder.cron(every_working_day));
    worker.run(async { drop(tokio::signal::ctrl_c().await) }).await?;
    Ok(())
}
