//! The product's face: pages rendered on the server, for people who run Backshift and for those who try it.
//!
//! Reading needs no JavaScript. Who may come in is decided in `entry`: on loopback nobody is asked, everywhere else
//! somebody signs in. Text from outside reaches a template through `mask`; the templates escape it. No address is written
//! without the base path before it.

mod assets;
mod causes;
pub mod cookies;
mod deleting;
mod driving;
mod entry;
mod explain;
mod facts;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
mod hands;
mod job;
mod jobs;
mod life;
pub mod link;
mod live;
mod many;
pub mod mask;
mod need;
mod needs;
mod overview;
mod own_kinds;
mod people;
mod person;
mod prefix;
mod queues;
mod reason;
mod render;
mod search;
mod secrets;
mod section;
mod sight;
#[cfg(test)]
mod specimen;
mod stopped;
mod sweeping;
mod theme;
pub mod told;
mod troubles;
mod try_it;
mod view;
pub mod words;
mod worked;
mod workers;

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{any, get, post},
};
use backshift_core::{QueueName, Store, StoreError};
use tokio::sync::Semaphore;

pub use entry::Auth;
pub use own_kinds::OwnKinds;
pub use person::SignedIn;
pub use prefix::{BasePath, Here, NotABasePath};
pub use section::{Room, Section, Trace};
pub use try_it::{Demo, Trial};

use crate::Shape;
use entry::Asks;
use render::Renderer;
use sight::Watch;
use sweeping::Sweeping;

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    store: Arc<dyn Store>,
    sections: Arc<[Arc<dyn Section>]>,
    trial: Option<Arc<Trial>>,
    renderer: Arc<Renderer>,
    watch: Arc<Watch>,
    sweeping: Arc<Sweeping>,
    streams: Arc<Semaphore>,
    /// Where this is, in two or three words, such as `this machine · embedded`.
    place: Arc<str>,
    auth: Auth,
    base: BasePath,
    /// How a program is told that there is nothing here.
    shape: Shape,
    /// What a worker of ours could do.
    own: OwnKinds,
    /// Nothing can be changed here.
    read_only: bool,
    /// Whom the program around says that this is.
    person: Option<Arc<str>>,
    /// The colours that were chosen, if they were.
    theme: Option<&'static str>,
    /// Tells workers that a job is due.
    bell: Option<Arc<dyn Fn(QueueName) + Send + Sync>>,
}

impl Pages {
    /// Pages over this store; `place` says in a few words where they are.
    pub fn new(store: Arc<dyn Store>, place: &str) -> Self {
        Self {
            store,
            sections: Arc::default(),
            trial: None,
            renderer: Arc::new(Renderer::new(&[])),
            watch: Arc::new(Watch::default()),
            sweeping: Arc::default(),
            streams: Arc::new(Semaphore::new(live::STREAMS)),
            place: place.into(),
            auth: Auth::default(),
            base: BasePath::default(),
            shape: Shape::default(),
            own: OwnKinds::default(),
            read_only: false,
            person: None,
            theme: None,
            bell: None,
        }
    }

    /// Who may come in; without this everybody on this machine, and nobody else.
    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Every address stands under this path. They are answered with it and without it: some proxies take it away. A program
    /// that nests the router needs this not.
    #[must_use]
    pub fn under(mut self, base: BasePath) -> Self {
        self.base = base;
        self
    }

    /// The kinds that `backshift worker` handles here; without this none, and of every kind it is said that its program must run.
    #[must_use]
    pub fn with_own_kinds(mut self, own: OwnKinds) -> Self {
        self.own = own;
        self
    }

    /// No button is offered and none works.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Called when somebody made a job of this queue run at once, so that a worker elsewhere need not wait for its next look.
    #[must_use]
    pub fn with_bell(mut self, bell: impl Fn(QueueName) + Send + Sync + 'static) -> Self {
        self.bell = Some(Arc::new(bell));
        self
    }

    /// With the pages of these domains, in the order of their rooms.
    #[must_use]
    pub fn with_sections(mut self, sections: Vec<Arc<dyn Section>>) -> Self {
        self.renderer = Arc::new(Renderer::new(&sections));
        self.sections = sections.into();
        self
    }

    /// How a program is refused that asks for what is not there, on a port that the pages share with an API.
    #[must_use]
    pub fn with_shape(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    /// With the page *Try it*, where everybody who may come in enqueues.
    #[must_use]
    pub fn with_trial(mut self, trial: Trial) -> Self {
        self.trial = Some(Arc::new(trial));
        self
    }

    /// Where this is, in two or three words.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The routes, behind the guards that every page needs.
    pub fn router(self) -> Router {
        let mut router = Router::new()
            .route("/overview", get(overview::page))
            .route("/jobs", get(jobs::list))
            .route("/jobs/{id}", get(job::page))
            .route("/jobs/{id}/delete", get(deleting::ask))
            .route("/causes", get(causes::page))
            .route("/many", get(many::ask))
            .route("/many/{id}", get(many::watch))
            .route("/hands", get(hands::page))
            .route("/queues", get(queues::page))
            .route("/workers", get(workers::page))
            .route("/theme", post(theme::choose))
            .route(live::PATH, get(live::events))
            .merge(actions().layer(middleware::from_fn_with_state(self.clone(), unless_read_only)));
        if self.trial.is_some() {
            let actions = try_it::actions();
            let actions = actions.layer(middleware::from_fn_with_state(self.clone(), unless_read_only));
            router = router.merge(try_it::shown()).merge(actions);
        }
        for section in self.sections.iter() {
            let changes = middleware::from_fn_with_state(self.clone(), unless_read_only);
            router = router.merge(Arc::clone(section).router().layer(changes));
        }
        if !self.has_front() {
            router = router.route("/", get(first));
        }
        let router = router
            .merge(assets::router())
            .merge(entry::router())
            .layer(middleware::from_fn_with_state(self.clone(), entry::gate))
            .layer(middleware::from_fn(guard::guard))
            .route("/{*rest}", any(people::missing));
        let (loopback, base) = (matches!(self.auth.0, Asks::Loopback { .. }), Arc::clone(&self.base.0));
        let router = router.with_state(self);
        let router = match base.is_empty() {
            true => router,
            false => Router::new().nest(&base, router.clone()).merge(router),
        };
        if loopback { crate::loopback_only(router) } else { router }
    }
}

/// Everything that changes something.
fn actions() -> Router<Pages> {
    Router::new()
        .route("/jobs/{id}/retry", post(job::retry))
        .route("/jobs/{id}/cancel", post(job::cancel))
        .route("/jobs/{id}/delete", post(deleting::delete))
        .route("/many", post(many::begin))
        .route("/many/{id}", post(many::go_on))
        .route("/queues/{name}/pause", post(queues::pause))
        .route("/queues/{name}/resume", post(queues::resume))
}

/// Refuses what changes something where nothing may be changed.
async fn unless_read_only(Here(pages): Here, request: Request, next: Next) -> Response {
    if !pages.read_only || request.method().is_safe() {
        return next.run(request).await;
    }
    let mut refused = pages.away(&StoreError::Rejected("These pages only show. Nothing was changed.".into()));
    *refused.status_mut() = StatusCode::FORBIDDEN;
    refused
}

/// `GET /` where no section has a front page.
async fn first(Here(pages): Here) -> Response {
    Redirect::to(&pages.at("/overview")).into_response()
}
