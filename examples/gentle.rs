//! Jobs that spare the service they call: ten a second for each customer, and none while it is down.
//!
//! Both are kept by the store for the whole fleet; a job that has to wait comes back without an attempt counted.

use backshift::{
    Backshift, BreakerPolicy, Job, JobContext, JobOptions, JobResult, Rate, Registry, stop_signal,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Push {
    customer: u64,
}

impl Job for Push {
    const KIND: &'static str = "crm.push";

    fn options() -> JobOptions {
        JobOptions::new().dependency("crm")
    }
}

async fn push(job: Push, _: JobContext) -> JobResult {
    println!("customer {} is pushed", job.customer);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let site = Backshift::embedded("jobs.db").await?;
    site.client().enqueue(&Push { customer: 7 }).await?;
    site.worker(Registry::default().with(push))
        .pool("default", 10)?
        .breaker(BreakerPolicy::default())
        .limit(Rate::per_second(10), |push: &Push| format!("crm-customer-{}", push.customer))
        .run(stop_signal())
        .await?;
    Ok(())
}
