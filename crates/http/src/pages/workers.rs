//! The workers that live and the breakers that they share.

use axum::{extract::State as Extract, response::Response};
use backshift_core::{
    StoreError, Timestamp,
    store::{BreakerRecord, WorkerRecord},
};
use minijinja::{Value, context};

use super::{Pages, words};

/// `GET /workers`.
pub(super) async fn page(Extract(pages): Extract<Pages>) -> Response {
    match values(&pages).await {
        Ok(values) => pages.framed("/workers", "workers.html", values).await,
        Err(error) => pages.away(&error),
    }
}

async fn values(pages: &Pages) -> Result<Value, StoreError> {
    let now = Timestamp::now();
    let workers = pages.store.workers().await?;
    let breakers = pages.store.breakers().await?;
    let running: u64 = workers.iter().map(|w| u64::from(w.running)).sum();
    let sentence = match workers.len() {
        0 => "No worker runs.".to_owned(),
        n => format!(
            "{} at work on {}.",
            words::count(n as u64, "worker is", "workers are"),
            words::count(running, "job", "jobs")
        ),
    };
    Ok(context! {
        title => "Workers",
        sentence,
        workers => workers.iter().map(|w| worker(w, now)).collect::<Vec<_>>(),
        breakers => breakers.iter().map(|b| breaker(b, now)).collect::<Vec<_>>(),
    })
}

fn worker(worker: &WorkerRecord, now: Timestamp) -> Value {
    context! {
        name => worker.name.as_str(),
        queues => worker.queues.replace(',', ", "),
        running => words::number(u64::from(worker.running)),
        since => words::relative(worker.started_at, now),
        seen => words::relative(worker.seen_at, now),
    }
}

fn breaker(breaker: &BreakerRecord, now: Timestamp) -> Value {
    context! {
        name => &breaker.name,
        state => &breaker.state,
        tone => if breaker.state == "closed" { "completed" } else { "retrying" },
        failures => words::number(u64::from(breaker.failures)),
        next => breaker.open_until.map_or(String::new(), |at| words::relative(at, now)),
        error => breaker.error.clone().unwrap_or_default(),
    }
}
