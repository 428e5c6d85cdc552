//! The product's face: pages rendered on the server, for people who run Backshift and for those who try it.
//!
//! Reading needs no JavaScript. The pages ask nobody who they are, so they answer on loopback only. Text from outside
//! reaches a template through `mask`; the templates escape it.

mod account;
mod assets;
mod explain;
mod form;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
mod job;
mod jobs;
mod life;
mod link;
mod live;
mod mailbox;
mod mask;
mod needs;
mod overview;
mod people;
mod queues;
mod render;
mod secrets;
mod sight;
mod waiting_room;
mod words;
mod workers;

use std::sync::Arc;

use axum::{
    Router, middleware,
    response::Redirect,
    routing::{any, get, post},
};
use backshift_core::{Store, identity::Identity};
use backshift_mail::DevMailbox;
use tokio::sync::Semaphore;

use render::Renderer;
use sight::Watch;
use waiting_room::WaitingRoom;

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    store: Arc<dyn Store>,
    identity: Option<Arc<dyn Identity>>,
    mailbox: Option<Arc<DevMailbox>>,
    renderer: Arc<Renderer>,
    waiting: Arc<WaitingRoom>,
    watch: Arc<Watch>,
    streams: Arc<Semaphore>,
    /// Where this is, in two or three words, such as `this machine · embedded`.
    place: Arc<str>,
}

impl Pages {
    /// Pages over this store; `place` says in a few words where they are.
    pub fn new(store: Arc<dyn Store>, place: &str) -> Self {
        Self {
            store,
            identity: None,
            mailbox: None,
            renderer: Arc::new(Renderer::new()),
            waiting: Arc::new(WaitingRoom::default()),
            watch: Arc::new(Watch::default()),
            streams: Arc::new(Semaphore::new(live::STREAMS)),
            place: place.into(),
        }
    }

    /// With the pages for customers: sign-up, code, sign-in.
    #[must_use]
    pub fn with_identity(mut self, identity: Arc<dyn Identity>) -> Self {
        self.identity = Some(identity);
        self
    }

    /// With the mailbox page.
    #[must_use]
    pub fn with_mailbox(mut self, mailbox: Arc<DevMailbox>) -> Self {
        self.mailbox = Some(mailbox);
        self
    }

    /// The routes, behind the guard that every page needs.
    pub fn router(self) -> Router {
        let mut router = Router::new()
            .route("/overview", get(overview::page))
            .route("/jobs", get(jobs::list))
            .route("/jobs/{id}", get(job::page))
            .route("/jobs/{id}/retry", post(job::retry))
            .route("/jobs/{id}/cancel", post(job::cancel))
            .route("/queues", get(queues::page))
            .route("/queues/{name}/pause", post(queues::pause))
            .route("/queues/{name}/resume", post(queues::resume))
            .route("/workers", get(workers::page))
            .route(live::PATH, get(live::events));
        if self.mailbox.is_some() {
            router = router
                .route("/mailbox", get(mailbox::list))
                .route("/mailbox/{id}", get(mailbox::one))
                .route("/mailbox/{id}/html", get(mailbox::html));
        }
        router = match self.identity {
            Some(_) => router.merge(account::router()),
            None => router.route("/", get(|| async { Redirect::to("/overview") })),
        };
        let router = router
            .merge(assets::router())
            .layer(middleware::from_fn(guard::guard))
            .route("/{*rest}", any(people::missing))
            .with_state(self);
        crate::loopback_only(router)
    }
}
