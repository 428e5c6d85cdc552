//! `backshift dev`: everything in one process, and no server needed.
//!
//! Store and queue are a file in the data directory, mails stay in a mailbox directory, keys are made once.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use axum::Router;
use backshift_core::Store;
use backshift_http::{
    Shape,
    health::{self, Check, Shown},
    loopback_only,
    pages::Pages,
    server::{finish, serve},
};
use backshift_runtime::Worker;
use backshift_store::notify::Bell;
use tokio::net::TcpListener;

use super::{dev_lock::DevLock, port_holder::holder};
use crate::{
    config::{Config, Origin, keys},
    domains::{
        self, Equipment, Role, demo,
        mail::{Post, SMTP_HOST},
    },
    exit::Failure,
    output,
    wiring::{
        Backend, Missing, Names, Running, Schema, Taken, WORK, bind, health_of, limits, plan, start_metrics,
        worker_builder, worker_name,
    },
};

/// How many ports after the default one are tried.
const PORTS: u16 = 100;

/// Runs until it is told to stop.
pub(super) async fn run(config: &Config) -> Result<(), Failure> {
    let mut lock = DevLock::take(config.data_dir())?;
    let mut running = Running::begin(config, false, Missing::Make)?;
    if !running.store_answers(config, Schema::BringUp).await? {
        return Ok(());
    }
    let Running { backend, ready, shutdown, .. } = &running;
    ready.needs_database(backend.database()?);
    let listener = listen(config).await?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    let url = format!("http://{address}");
    let house = House::build(config, backend).await?;
    let metrics = start_metrics(Names::Own)?.with_ledger(Arc::clone(backend.store()?) as _);
    let health = health::router(health_of(ready, &metrics, Shown::Details));
    // Every route, also those for programs: a page of another site that points its own name here reads nothing.
    let router = loopback_only(finish(house.router.merge(health), Shape::SystemC));
    let quiet = shutdown.clone();
    let mut limits = limits(config)?;
    limits.times.grace = Duration::from_secs(1);
    let serving = tokio::spawn(serve(listener, router, limits, async move { quiet.quieted().await }));
    ready.needs_worker(house.worker.readiness());
    ready.needs(house.check);
    let (backend, shutdown) = running.started(WORK);
    lock.sign(&url);
    greet(config, &url, house.mails_to.as_deref());
    let result = house.worker.run(shutdown.clone()).await;
    shutdown.quiet();
    let _ = tokio::time::timeout(Duration::from_secs(2), serving).await;
    backend.leave().await;
    result.map(drop).map_err(Failure::failed)
}

/// What runs where, before anything else is said.
fn greet(config: &Config, url: &str, mails_to: Option<&str>) {
    let store = match config.some(&keys::DATABASE_URL) {
        Some(_) => format!("your database (database.url from {})", config.origin(&keys::DATABASE_URL)),
        None => format!("a file in {}", config.data_dir().display()),
    };
    let mails = mails_to
        .map_or_else(|| format!("stay here, read them at {url}/mailbox"), |host| format!("go to {host}"));
    output::line(format!("Backshift runs at {url}"));
    output::line(format!("  the pages   {url}/overview"));
    output::line(format!("  try it      {url}/try"));
    output::line(format!("  sign-up     {url}/, and the API beside it"));
    output::line(format!("  mails       {mails}"));
    output::line(format!("  jobs        in {store}, worked in this process"));
}

/// What `dev` runs beside the store.
struct House {
    router: Router,
    worker: Worker,
    /// Why no mail is sent just now.
    check: Box<dyn Fn() -> Option<Check> + Send + Sync>,
    /// The server that mails go to; `None` = the mailbox.
    mails_to: Option<String>,
}

impl House {
    async fn build(config: &Config, backend: &Backend) -> Result<Self, Failure> {
        let database = backend.database()?;
        let post = Post::of_dev(config, database).await?;
        let mails_to = post.mailbox.is_none().then(|| config.get(&SMTP_HOST).to_owned());
        domains::warn_of_choices(config);
        let (pause, check) = (post.worker.pause(), post.check());
        let equipment = Equipment { config, backend, role: Role::Dev, post: Some(post) };
        let faces = equipment.faces()?;
        let place = if config.some(&keys::DATABASE_URL).is_some() {
            "this machine · your store"
        } else {
            "this machine · embedded"
        };
        let store = Arc::clone(backend.store()?) as Arc<dyn Store>;
        let bell = Bell::new(database);
        let pages = Pages::new(store, place)
            .with_sections(faces.sections)
            .with_shape(Shape::SystemC)
            .with_bell(move |queue| bell.ring(&queue))
            .with_own_kinds(domains::own_kinds(config))
            .with_trial(demo::trial(backend));
        let plan = plan(&[], config, backend)?;
        let worker = worker_builder(config, backend, &plan, equipment.registry()?, worker_name(config)?)?;
        let worker = worker.watching(pause).build().map_err(Failure::configuration)?;
        Ok(Self { router: faces.routes.merge(pages.router()), worker, check: Box::new(check), mails_to })
    }
}

/// The configured port, or the next free one when nobody chose it.
async fn listen(config: &Config) -> Result<TcpListener, Failure> {
    let (first, told) = (config.get(&keys::DEV_PORT), config.told(&keys::DEV_PORT));
    match *config.origin(&keys::DEV_PORT) {
        Origin::Default => {
            let listener = first_free(&told, first..=first.saturating_add(PORTS), Taken::GoOn).await?;
            let here = listener.local_addr().map_err(Failure::failed)?.port();
            if here != first {
                let who = holder(first).unwrap_or_else(|| "another program".to_owned());
                output::note(&format!(
                    "port {first} is taken by {who}: this one is at {here}; BACKSHIFT_DEV_PORT chooses one"
                ));
            }
            Ok(listener)
        }
        _ => first_free(&told, first..=first, Taken::Refuse).await,
    }
}

async fn first_free(told: &str, ports: RangeInclusive<u16>, taken: Taken) -> Result<TcpListener, Failure> {
    for port in ports.clone() {
        if let Some(listener) = bind(told, &format!("127.0.0.1:{port}"), taken).await? {
            return Ok(listener);
        }
    }
    let (first, last) = ports.into_inner();
    Err(Failure::configuration(format!(
        "{told}: every port from {first} to {last} is taken: name a free one (BACKSHIFT_DEV_PORT)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn when_no_port_is_free_all_that_were_tried_are_named() {
        let held = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = held.local_addr().unwrap().port();
        let refused = first_free("dev.port", port..=port, Taken::GoOn).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("every port from {port} to {port} is taken")), "{refused}");
        drop(held);
    }
}
