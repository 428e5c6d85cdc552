//! The queues with their counts; pause and resume.

use axum::{
    extract::Path,
    response::{IntoResponse, Redirect, Response},
};
use backshift_core::{QueueName, StoreError, Timestamp};
use minijinja::{Value, context};

use super::{Here, Pages, overview::row, words};

/// `GET /queues`.
pub(super) async fn page(Here(pages): Here) -> Response {
    let sight = match pages.sight().await {
        Ok(sight) => sight,
        Err(error) => return pages.away(&error),
    };
    let queues = &sight.queues;
    let paused = queues.iter().filter(|q| q.paused).count();
    let sentence = match (queues.len(), paused) {
        (0, _) => "No queue holds a job yet.".to_owned(),
        (1, 0) => "The one queue is open.".to_owned(),
        (n, 0) => format!("All {n} queues are open."),
        (_, n) => format!("{} paused.", words::count(n as u64, "queue is", "queues are")),
    };
    let now = Timestamp::now();
    let rows: Vec<Value> = queues.iter().map(|queue| row(queue, &sight, now)).collect();
    pages.framed("/queues", "queues.html", context! { title => "Queues", sentence, queues => rows }).await
}

/// `POST /queues/{name}/pause`.
pub(super) async fn pause(Here(pages): Here, Path(name): Path<String>) -> Response {
    switch(&pages, &name, true).await
}

/// `POST /queues/{name}/resume`.
pub(super) async fn resume(Here(pages): Here, Path(name): Path<String>) -> Response {
    switch(&pages, &name, false).await
}

async fn switch(pages: &Pages, name: &str, paused: bool) -> Response {
    let result = match QueueName::new(name) {
        Ok(queue) => pages.store.turn(&queue, paused, &pages.hand("")).await,
        Err(error) => Err(StoreError::NotFound(error.to_string())),
    };
    pages.watch.forget();
    match result {
        Ok(_) => Redirect::to(&pages.at("/queues")).into_response(),
        Err(error) => pages.away(&error),
    }
}
