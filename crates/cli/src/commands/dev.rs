//! `backshift dev`: everything in one process, and no server needed.
//!
//! Store and queue are a file in the data directory, mails stay in a mailbox directory, keys are made once.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use axum::Router;
use backshift_core::{Job as _, Store, identity::Identity};
use backshift_http::{
    health::{self, Shown},
    loopback_only,
    pages::{Demo, Pages, Trial},
    server::{finish, serve},
};
use backshift_mail::{DevMailbox, Mailer};
use backshift_runtime::{Shutdown, Worker};
use backshift_store::notify::Bell;
use backshift_workers::{
    demo::{self, DemoFlaky, DemoOk, DemoSlow},
    mail::TransportPause,
};
use tokio::net::TcpListener;

use super::{api::routes, dev_lock::DevLock, worker::follow};
use crate::{
    args,
    config::{Config, Origin},
    exit::Failure,
    output,
    signals::Stops,
    wiring::{
        Backend, Equipment, Names, Patience, Ready, Schema, Taken, bind, generated_keys, health_of,
        identity_service, limits, mail_worker, mailbox, mailer_of, own_queue, places, plan, registry,
        start_metrics, warn_of_choices, warn_of_open_files, worker_builder, worker_name,
    },
};

/// How many ports after the default one are tried.
const PORTS: u16 = 100;

/// Runs until it is told to stop.
pub(super) async fn run(config: &Config) -> Result<(), Failure> {
    let mut stops = Stops::listen()?;
    let mut lock = DevLock::take(config.data_dir())?;
    let backend = Backend::build(config, false)?;
    warn_of_open_files(config, &places(config, false)?);
    tokio::select! {
        result = backend.ready(config, Schema::BringUp, Patience::Endless) => result?,
        () = stops.next() => return Ok(()),
    }
    let ready = Ready::starting("the pools");
    ready.needs_database(backend.database()?);
    let listener = listen(config).await?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    let url = format!("http://{address}");
    let house = House::build(config, &backend).await?;
    let metrics = start_metrics(Names::Own)?.with_ledger(Arc::clone(backend.store()?) as _);
    let health = health::router(health_of(&ready, &metrics, Shown::Details));
    // Every route, also those for programs: a page of another site that points its own name here reads nothing.
    let router = loopback_only(finish(house.router.merge(health)));
    let shutdown = Shutdown::new();
    let quiet = shutdown.clone();
    let mut limits = limits(config)?;
    limits.times.grace = Duration::from_secs(1);
    let serving = tokio::spawn(serve(listener, router, limits, async move { quiet.quieted().await }));
    ready.needs_worker(house.worker.readiness());
    ready.needs_mail(Arc::clone(&house.pause));
    ready.started();
    lock.sign(&url);
    greet(config, &url, house.mails_to.as_deref());
    let stopping = shutdown.clone();
    tokio::spawn(async move { follow(&mut stops, &stopping).await });
    let result = house.worker.run(shutdown.clone()).await;
    shutdown.quiet();
    let _ = tokio::time::timeout(Duration::from_secs(2), serving).await;
    backend.leave().await;
    result.map(drop).map_err(Failure::failed)
}

/// What runs where, before anything else is said.
fn greet(config: &Config, url: &str, mails_to: Option<&str>) {
    let store = match config.some("database.url") {
        Some(_) => format!("your database (database.url from {})", config.origin("database.url")),
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
    pause: Arc<TransportPause>,
    /// The server that mails go to; `None` = the mailbox.
    mails_to: Option<String>,
}

impl House {
    async fn build(config: &Config, backend: &Backend) -> Result<Self, Failure> {
        let database = backend.database()?;
        let (mailer, mailbox) = post_office(config).await?;
        let mails_to = mailbox.is_none().then(|| config.text("smtp.host").to_owned());
        let keys = generated_keys(config)?;
        warn_of_choices(config);
        let identity: Arc<dyn Identity> = Arc::new(identity_service(config, database, &keys, true)?);
        let place = if config.some("database.url").is_some() {
            "this machine · your store"
        } else {
            "this machine · embedded"
        };
        let store = Arc::clone(backend.store()?) as Arc<dyn Store>;
        let bell = Bell::new(database);
        let mut pages = Pages::new(store, place)
            .with_identity(Arc::clone(&identity))
            .with_bell(move |queue| bell.ring(&queue))
            .with_trial(trial(backend));
        if let Some(mailbox) = mailbox {
            pages = pages.with_mailbox(mailbox);
        }
        let mail = mail_worker(config, mailer, database)?;
        let pause = mail.pause();
        let equipment = Equipment { mail: Some(mail), keys: Some(keys), codes_only: false };
        let handlers = demo::register(registry(config, backend, &equipment)?);
        let everything =
            args::Worker { connection: args::Connection::default(), queues: Vec::new(), no_store: false };
        let plan = plan(&everything, config, backend)?;
        let worker = worker_builder(config, backend, &plan, handlers, worker_name(config)?)?;
        let worker = worker.watching(Arc::clone(&pause) as _).build().map_err(Failure::configuration)?;
        Ok(Self { router: routes(identity).merge(pages.router()), worker, pause, mails_to })
    }
}

/// What the page *Try it* offers.
fn trial(backend: &Backend) -> Trial {
    let demo = |name, what, kind, payload, count| Demo { name, what, kind, payload, count };
    let demos = vec![
        demo("Enqueue one", "A job that succeeds at once.", DemoOk::KIND, "{}", 1),
        demo("Enqueue a slow one", "A job of ten seconds that says how far it is.", DemoSlow::KIND, "{}", 1),
        demo(
            "Enqueue a flaky one",
            "A job that fails twice and succeeds at the third attempt.",
            DemoFlaky::KIND,
            "{}",
            1,
        ),
        demo(
            "Enqueue a failing one",
            "A job that fails for good: it becomes a dead letter.",
            DemoOk::KIND,
            "{\"fail\":true}",
            1,
        ),
        demo("Enqueue 200", "Two hundred jobs at once.", DemoOk::KIND, "{}", 200),
    ];
    Trial { client: backend.client.clone(), demos, queue_of: |kind| own_queue(kind, None) }
}

/// The SMTP server when one is set, else the mailbox.
async fn post_office(config: &Config) -> Result<(Arc<dyn Mailer>, Option<Arc<DevMailbox>>), Failure> {
    if let Some(mailer) = mailer_of(config)? {
        return Ok((mailer, None));
    }
    let mailbox = mailbox(config).await?;
    Ok((Arc::clone(&mailbox) as Arc<dyn Mailer>, Some(mailbox)))
}

/// The configured port, or the next free one when nobody chose it.
async fn listen(config: &Config) -> Result<TcpListener, Failure> {
    let (first, told) = (config.number("dev.port") as u16, config.told("dev.port"));
    match *config.origin("dev.port") {
        Origin::Default => first_free(&told, first..=first.saturating_add(PORTS), Taken::GoOn).await,
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
