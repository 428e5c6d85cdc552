//! A job every working day at seven in Berlin, once, however many of these programs run. Stop it with Ctrl-C.

use backshift::{Backshift, Job, JobContext, JobResult, Missed, Overlap, Registry, Schedule, stop_signal};
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
    let every_working_day =
        Schedule::of("daily-report", "0 7 * * 1-5", &Report { recipient: "anna".into() })?
            .zone("Europe/Berlin")?
            .missed(Missed::RunOnce) // after a night off: the latest tick, not all of them
            .overlap(Overlap::Skip); // not while yesterday's still runs
    let worker = site.worker(Registry::default().with(report)).pool("default", 2)?;
    worker.cron(every_working_day).run(stop_signal()).await?;
    Ok(())
}
