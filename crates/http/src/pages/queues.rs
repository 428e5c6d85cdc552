//! The queues with their counts; pause and resume.

use axum::{
    extract::Path,
    response::{IntoResponse, Redirect, Response},
};
use backshift_core::{QueueName, StoreError, Timestamp};
use minijinja::{Value, context};

use super::{
    Here, Pages,
    overview::{NOBODY, PARKED, PAUSED, row, standing},
    view::View,
    words,
};

/// `GET /queues`.
pub(super) async fn page(Here(pages): Here) -> Response {
    let sight = match pages.sight().await {
        Ok(sight) => sight,
        Err(error) => return pages.away(&error),
    };
    let (view, now) = (View::of(&sight), Timestamp::now());
    let rows: Vec<Value> = sight.queues.iter().map(|queue| row(queue, &view, now)).collect();
    let sentence = sentence(&view);
    pages.framed("/queues", "queues.html", context! { title => "Queues", sentence, queues => rows }).await
}

/// What keeps queues from their work, or that nothing does.
fn sentence(view: &View<'_>) -> String {
    let sight = view.sight;
    let all: Vec<_> = sight.queues.iter().map(|queue| standing(queue, view)).collect();
    let of = |wanted| all.iter().filter(|standing| **standing == wanted).count() as u64;
    let (paused, nobody, parked) = (of(PAUSED), of(NOBODY), of(PARKED));
    let parts = [
        (paused, words::count(paused, "queue is paused", "queues are paused")),
        (nobody, format!("nobody works {}", words::count(nobody, "queue", "queues"))),
        (parked, format!("in {} all that waits is parked", words::count(parked, "queue", "queues"))),
    ];
    let some: Vec<String> = parts.into_iter().filter(|(n, _)| *n > 0).map(|(_, text)| text).collect();
    match (all.len(), some.is_empty()) {
        (0, _) => "No queue holds a job yet.".to_owned(),
        (_, false) => format!("{}.", words::capital(&some.join(", "))),
        _ if sight.workers.is_empty() => "Nothing is due, and no worker lives.".to_owned(),
        (1, _) => "The one queue is open.".to_owned(),
        (n, _) => format!("All {n} queues are open."),
    }
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
