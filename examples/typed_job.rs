//! A job of your own on the embedded queue: no server, one file. Stop it with Ctrl-C.

use backshift::{Backshift, Job, JobContext, JobResult, Registry, stop_signal};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Resize {
    picture: u64,
    width: u32,
}

impl Job for Resize {
    const KIND: &'static str = "picture.resize";
}

async fn resize(job: Resize, context: JobContext) -> JobResult {
    println!("attempt {}: picture {} to {}", context.attempt(), job.picture, job.width);
    Ok(()) // `?` on any error = try again later
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let site = Backshift::embedded("jobs.db").await?;
    site.client().enqueue(&Resize { picture: 7, width: 640 }).await?;
    let worker = site.worker(Registry::default().with(resize)).pool("default", 10)?;
    worker.run(stop_signal()).await?;
    Ok(())
}
