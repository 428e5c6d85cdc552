//! Says *changed* to open pages, so that they ask for themselves again; never the data itself.
//!
//! A page says which sight it shows (`seen`, after a cut connection `Last-Event-ID`), so that nothing that happens
//! between its making and this stream is missed.

use std::convert::Infallible;

use axum::{
    extract::{Query, State},
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, stream};
use serde::Deserialize;

use super::{Pages, sight::Watch};

/// What a page knows.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Known {
    seen: String,
}

/// `GET /events`.
pub(super) async fn events(
    State(pages): State<Pages>,
    Query(known): Query<Known>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let follower = Watch::follow(&pages);
    let changes = stream::unfold((follower, last.unwrap_or(known.seen)), |(mut follower, last)| async move {
        loop {
            let seen = follower.borrow_and_update().as_ref().map(|sight| sight.fingerprint.clone());
            if let Some(seen) = seen.filter(|seen| *seen != last) {
                let event = Event::default().event("changed").id(&seen).data("now");
                return Some((Ok(event), (follower, seen)));
            }
            follower.changed().await.ok()?;
        }
    });
    Sse::new(changes).keep_alive(KeepAlive::default())
}
