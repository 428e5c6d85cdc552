//! The queues with their counts; pause and resume.

use axum::{
    extract::{Path, State as Extract},
    response::{IntoResponse, Redirect, Response},
};
use backshift_core::{QueueCounts, QueueName, State, StoreError, Timestamp};
use minijinja::{Value, context};

use super::{Pages, words};

/// `GET /queues`.
pub(super) async fn page(Extract(pages): Extract<Pages>) -> Response {
    let queues = match pages.store.counts().await {
        Ok(queues) => queues,
        Err(error) => return pages.away(&error),
    };
    let paused = queues.iter().filter(|q| q.paused).count();
    let sentence = match (queues.len(), paused) {
        (0, _) => "No queue holds a job yet.".to_owned(),
        (_, 0) => "All queues are open.".to_owned(),
        (_, n) => format!("{} paused.", words::count(n as u64, "queue is", "queues are")),
    };
    let now = Timestamp::now();
    let rows: Vec<Value> = queues.iter().map(|queue| row(queue, now)).collect();
    pages.framed("/queues", "queues.html", context! { title => "Queues", sentence, queues => rows }).await
}

fn row(queue: &QueueCounts, now: Timestamp) -> Value {
    let n = |state| words::number(queue.count(state));
    context! {
        name => queue.queue.as_str(),
        paused => queue.paused,
        scheduled => n(State::Scheduled),
        available => n(State::Available),
        running => n(State::Running),
        retrying => n(State::Retrying),
        dead => n(State::Dead),
        oldest => queue.oldest_due.map_or(String::new(), |due| words::span(due, now)),
    }
}

/// `POST /queues/{name}/pause`.
pub(super) async fn pause(Extract(pages): Extract<Pages>, Path(name): Path<String>) -> Response {
    switch(&pages, &name, true).await
}

/// `POST /queues/{name}/resume`.
pub(super) async fn resume(Extract(pages): Extract<Pages>, Path(name): Path<String>) -> Response {
    switch(&pages, &name, false).await
}

async fn switch(pages: &Pages, name: &str, paused: bool) -> Response {
    let result = match QueueName::new(name) {
        Ok(queue) => pages.store.pause(&queue, paused).await,
        Err(error) => Err(StoreError::NotFound(error.to_string())),
    };
    match result {
        Ok(_) => Redirect::to("/queues").into_response(),
        Err(error) => pages.away(&error),
    }
}
