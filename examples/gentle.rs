//! Jobs that spare the service they call: ten a second for each customer, and none while it is down.
//!
//! Both are kept by the store for the whole fleet; a job that has to wait comes back without an attempt counted.

use std::{sync::Arc, time::Duration};

use backshift::{
    Backshift, BreakerPolicy, Job, JobContext, JobOptions, JobResult, Rate, Registry,
    runtime_middleware::{Breaker, RateLimit},
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Push {
    customer: u64,
}

impl Job for Push {
    const KIND: &'static str = "crm.push";

    fn options() -> JobOptions {
        JobOptions { dependency: Some("crm"), ..JobOptions::default() }
    }
}

async fn push(job: Push, _: JobContext) -> JobResult {
    println!("customer {} is pushed", job.customer);
    Ok(())
}

/// What is limited: the customer named by the payload.
fn customer(context: &JobContext) -> Option<String> {
    let push: Push = serde_json::from_slice(&context.envelope().payload).ok()?;
    Some(format!("crm-customer-{}", push.customer))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let site = Backshift::embedded("jobs.db").await?;
    site.client().enqueue(&Push { customer: 7 }).await?;
    let registry = Registry::default().with(push);
    let seconds = Duration::from_secs;
    let down = BreakerPolicy { failures: 5, open_for: seconds(10), open_at_most: seconds(300) };
    let breaker = Arc::new(Breaker::new(registry.clone(), down));
    let limit = Arc::new(RateLimit::new(Rate { count: 10, per: seconds(1) }, customer));
    let worker = site.worker(registry).pool("default", 10)?;
    let worker = worker.with(|builder| builder.middleware(breaker).middleware(limit));
    worker.run(async { drop(tokio::signal::ctrl_c().await) }).await?;
    Ok(())
}
