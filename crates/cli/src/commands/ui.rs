//! `backshift ui`: the pages alone, for the operators of a site whose workers and API run elsewhere.
//!
//! They are there while the store is away, and say so; what can never work, such as an old schema, ends the command.

use std::time::Duration;

use backshift_http::health::{self, Shown};
use backshift_runtime::Shutdown;

use super::worker::follow;
use crate::{
    config::{Config, keys},
    exit::Failure,
    output,
    signals::Stops,
    wiring::{
        Backend, Missing, Names, Patience, Ready, Schema, Site, health_of, places, start_metrics,
        warn_of_open_files,
    },
};

/// Where the pages are when nobody says.
const LISTEN: &str = "127.0.0.1:8082";
/// Open pages hold a stream that ends with the process.
const GOODBYE: Duration = Duration::from_secs(2);

/// Serves until it is told to stop.
pub(super) async fn run(config: &Config) -> Result<(), Failure> {
    let mut stops = Stops::listen()?;
    let backend = Backend::with(config, false, Missing::Refuse)?;
    warn_of_open_files(config, &places(config, false)?);
    let ready = Ready::starting("the store");
    ready.needs_database(backend.database()?);
    let metrics = start_metrics(Names::Own)?;
    let health = health::probes(health_of(&ready, &metrics, Shown::Causes));
    let shutdown = Shutdown::new();
    let site = Site::listen(config, &backend, config.some(&keys::UI_LISTEN).unwrap_or(LISTEN)).await?;
    let url = site.url().to_owned();
    let serving = site.serve(health, &shutdown);
    output::line(format!("Backshift's pages are at {url}"));
    tokio::select! {
        result = backend.ready(config, Schema::Configured, Patience::Endless) => result?,
        () = stops.next() => return Ok(()),
    }
    ready.started();
    let stopping = shutdown.clone();
    tokio::spawn(async move {
        follow(&mut stops, &stopping, ("the pages close; workers elsewhere go on", "open pages are cut off"))
            .await
    });
    shutdown.quieted().await;
    let _ = tokio::time::timeout(GOODBYE, serving).await;
    backend.leave().await;
    Ok(())
}
