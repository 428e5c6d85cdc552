//! `backshift api`: system C's HTTP API.
//!
//! It listens at once and is ready when the database is. Where a configured broker carries system C's mails it also hands
//! the mails with codes to the exchange, so that it works beside consumers that are not ours.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use backshift_core::{Broker, QueueName, WorkerName, identity::Identity};
use backshift_http::{
    api::{self, Api},
    health::{self, Shown},
    server::{finish, serve},
};
use backshift_runtime::Shutdown;
use backshift_workers::mail::QUEUE_OF_SYSTEM_C;

use super::worker::follow;
use crate::{
    config::Config,
    exit::Failure,
    signals::Stops,
    wiring::{
        Backend, Equipment, Keys, Names, Patience, Plan, Ready, Schema, Site, Taken, bind, health_of,
        identity_service, limits, places, registry, start_metrics, warn_of_choices, warn_of_open_files,
        worker_builder, worker_name,
    },
};

/// Serves until it is told to stop.
pub(super) async fn run(config: &Config) -> Result<(), Failure> {
    let mut stops = Stops::listen()?;
    let backend = Backend::build(config, false)?;
    warn_of_open_files(config, &places(config, false)?);
    let keys = Keys::configured(config)?.ok_or_else(|| {
        Failure::configuration("auth.jwt_secret is not set: JWT_SECRET signs the tokens of the API")
    })?;
    warn_of_choices(config);
    let identity: Arc<dyn Identity> = Arc::new(identity_service(config, backend.database()?, &keys, false)?);
    let ready = Ready::starting("the store");
    ready.needs_database(backend.database()?);
    if let Some(foreign) = backend.bound(QUEUE_OF_SYSTEM_C) {
        ready.watches_broker(Arc::clone(&foreign.broker), false);
    }
    let metrics = start_metrics(Names::OfSystemC)?;
    let address = format!("{}:{}", config.text("api.host"), config.text("api.port"));
    let what = format!("{}, {}", config.told("api.host"), config.told("api.port"));
    let listener = bind(&what, &address, Taken::Refuse).await?;
    let Some(listener) = listener else { return Err(Failure::configuration("the API has no port")) };
    let shown: Option<SocketAddr> = listener.local_addr().ok();
    let health = health::router(health_of(&ready, &metrics, Shown::Causes));
    let router = finish(routes(identity).merge(health));
    let shutdown = Shutdown::new();
    Site::beside(config, &backend, &shutdown).await?;
    let quiet = shutdown.clone();
    let limits = limits(config)?;
    let serving = tokio::spawn(serve(listener, router, limits, async move { quiet.quieted().await }));
    tracing::info!(address = shown.map(|a| a.to_string()), "the API listens");
    tokio::select! {
        result = backend.ready(config, Schema::Configured, Patience::Endless) => result?,
        () = stops.next() => return Ok(()),
    }
    ready.started();
    let stopping = shutdown.clone();
    tokio::spawn(async move { follow(&mut stops, &stopping).await });
    deliver_codes(config, &backend, keys, &shutdown).await?;
    let _ = tokio::time::timeout(config.duration("shutdown.grace") + Duration::from_secs(1), serving).await;
    backend.leave().await;
    Ok(())
}

/// The routes of the API.
pub(super) fn routes(identity: Arc<dyn Identity>) -> Router {
    api::router(Api { identity })
}

/// Works the queue of codes in this process until it stops, when they go to the exchange.
async fn deliver_codes(
    config: &Config,
    backend: &Backend,
    keys: Keys,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let Some(broker) = backend.bound(QUEUE_OF_SYSTEM_C).map(|foreign| Arc::clone(&foreign.broker)) else {
        shutdown.quieted().await;
        return Ok(());
    };
    let until = shutdown.clone();
    tokio::spawn(async move { declare(&*broker, &until).await });
    let ledger = backend.on_ledger()?;
    let equipment = Equipment { keys: Some(keys), codes_only: true, ..Equipment::default() };
    let handlers = registry(config, &ledger, &equipment)?;
    let queue = QueueName::new("identity").map_err(Failure::configuration)?;
    let plan = Plan { own: vec![(queue, 4)], beside: Vec::new() };
    let name = WorkerName::new(format!("{}.api", worker_name(config)?)).map_err(Failure::configuration)?;
    let worker = worker_builder(config, &ledger, &plan, handlers, name)?;
    let worker = worker.build().map_err(Failure::configuration)?;
    worker.run(shutdown.clone()).await.map(drop).map_err(Failure::failed)
}

/// Makes sure that a mail published before the first worker is kept; tries for ever while the broker is away.
async fn declare(broker: &dyn Broker, shutdown: &Shutdown) {
    let Ok(queue) = QueueName::new(QUEUE_OF_SYSTEM_C) else { return };
    while !shutdown.is_quiet() {
        match broker.declare(&queue).await {
            Ok(()) => return,
            Err(error) => tracing::error!(%error, "smtp_send_email cannot be declared yet"),
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}
