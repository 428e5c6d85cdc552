//! Says *changed* to open pages, so that they ask for themselves again.
//!
//! The store is asked once a second for each open page; what is sent is only the fact, never the data.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use backshift_core::{JobFilter, Page};
use futures::{Stream, stream};

use super::Pages;

const PERIOD: Duration = Duration::from_secs(1);

/// The stream of changes.
pub(super) async fn events(State(pages): State<Pages>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = stream::unfold((pages, None), |(pages, mut last)| async move {
        loop {
            let seen = fingerprint(&pages).await;
            if seen.is_some() && seen != last {
                let first = last.is_none();
                last = seen;
                if !first {
                    return Some((Ok(Event::default().event("changed").data("")), (pages, last)));
                }
            }
            tokio::time::sleep(PERIOD).await;
        }
    });
    Sse::new(changes).keep_alive(KeepAlive::default())
}

/// Equal as long as nothing that a page shows has changed.
async fn fingerprint(pages: &Pages) -> Option<String> {
    let counts = pages.store.counts().await.ok()?;
    let workers = pages.store.workers().await.ok()?;
    let newest = pages.store.list(&JobFilter::default(), &Page { after: None, limit: 20 }).await.ok()?;
    let mails = match &pages.mailbox {
        Some(mailbox) => mailbox.list(0, 0).await.ok().map(|(_, total)| total as u64),
        None => None,
    };
    let newest: Vec<_> = newest.iter().map(|j| (j.id, j.state, j.token, j.progress.clone())).collect();
    let workers: Vec<_> = workers.iter().map(|w| (w.name.clone(), w.running)).collect();
    Some(format!("{counts:?}{workers:?}{newest:?}{mails:?}"))
}
