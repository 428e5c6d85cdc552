//! Says *changed* to open pages, so that they ask for themselves again; never the data itself.
//!
//! Streams are counted: beyond [`STREAMS`] a page is told to come later and shows what it showed.
//!
//! A page says which sight it shows (`seen`, after a cut connection `Last-Event-ID`), so that nothing that happens
//! between its making and this stream is missed.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use serde::Deserialize;

use super::{Pages, sight::Watch};

/// Where the stream is.
pub(super) const PATH: &str = "/events";
/// How many pages may follow at once.
pub(super) const STREAMS: usize = 64;

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
) -> Response {
    let Ok(place) = Arc::clone(&pages.streams).try_acquire_owned() else {
        let later = [(header::RETRY_AFTER, "30")];
        return (StatusCode::SERVICE_UNAVAILABLE, later, "Too many pages are open.\n").into_response();
    };
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let follower = Watch::follow(&pages);
    let start = (follower, last.unwrap_or(known.seen), place);
    let changes = stream::unfold(start, |(mut follower, last, place)| async move {
        loop {
            let seen = follower.borrow_and_update().as_ref().map(|sight| sight.fingerprint.clone());
            if let Some(seen) = seen.filter(|seen| *seen != last) {
                let event = Event::default().event("changed").id(&seen).data("now");
                return Some((Ok::<_, Infallible>(event), (follower, seen, place)));
            }
            follower.changed().await.ok()?;
        }
    });
    Sse::new(changes).keep_alive(KeepAlive::default()).into_response()
}
