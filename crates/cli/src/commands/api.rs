//! `backshift api`: system C's HTTP API.
//!
//! It listens at once and is ready when the database is. Where a configured broker carries system C's mails it also hands
//! the mails with codes to the exchange, so that it works beside consumers that are not ours.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use backshift_http::{
    Shape,
    health::{self, Shown},
    server::{finish, serve},
};

use crate::{
    config::{Config, keys},
    domains::{self, Equipment, Role},
    exit::Failure,
    wiring::{Missing, Names, Running, Schema, Site, Taken, bind, health_of, limits, start_metrics},
};

/// Serves until it is told to stop.
pub(super) async fn run(config: &Config) -> Result<(), Failure> {
    let mut running = Running::begin(config, false, Missing::Make)?;
    let Running { backend, ready, shutdown, .. } = &running;
    let equipment = Equipment { config, backend, role: Role::Site, post: None };
    let faces = equipment.faces()?;
    domains::warn_of_choices(config);
    ready.needs_database(backend.database()?);
    if let Some(foreign) = backend.foreign.iter().find(|foreign| !foreign.bound.is_empty()) {
        ready.watches_broker(Arc::clone(&foreign.broker), false);
    }
    let metrics = start_metrics(Names::OfSystemC)?;
    let address = format!("{}:{}", config.get(&keys::API_HOST), config.get(&keys::API_PORT));
    let what = format!("{}, {}", config.told(&keys::API_HOST), config.told(&keys::API_PORT));
    let listener = bind(&what, &address, Taken::Refuse).await?;
    let Some(listener) = listener else { return Err(Failure::configuration("the API has no port")) };
    let shown: Option<SocketAddr> = listener.local_addr().ok();
    let health = health::router(health_of(ready, &metrics, Shown::Causes));
    let router = finish(faces.routes.merge(health), Shape::SystemC);
    Site::beside(config, backend, shutdown).await?;
    let quiet = shutdown.clone();
    let limits = limits(config)?;
    let serving = tokio::spawn(serve(listener, router, limits, async move { quiet.quieted().await }));
    tracing::info!(address = shown.map(|a| a.to_string()), "the API listens");
    if !running.store_answers(config, Schema::Configured).await? {
        return Ok(());
    }
    let (backend, shutdown) =
        running.started(("no new requests are taken, open ones may end", "open requests are cut off"));
    domains::beside_api(config, &backend, &shutdown).await?;
    let _ = tokio::time::timeout(config.get(&keys::SHUTDOWN_GRACE) + Duration::from_secs(1), serving).await;
    backend.leave().await;
    Ok(())
}
