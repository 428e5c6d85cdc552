//! `backshift ui`: the pages alone, for the operators of a site whose workers and API run elsewhere.
//!
//! They are there while the store is away, and say so; what can never work, such as an old schema, ends the command.

use std::time::Duration;

use backshift_http::health::{self, Shown};

use crate::{
    config::{Config, keys},
    exit::Failure,
    output,
    wiring::{Missing, Names, Running, Schema, Site, health_of, start_metrics},
};

/// The pages of `ui`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address and port; 127.0.0.1:8082 when neither this nor ui.listen says another.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Offer no button and accept none.
    #[arg(long)]
    read_only: bool,
    /// Put every address under this path, such as /ops.
    #[arg(long, value_name = "PATH")]
    base_path: Option<String>,
}

impl Args {
    /// The flags as settings.
    pub(crate) fn flags(&self) -> impl Iterator<Item = (&'static str, &'static str, String)> {
        let listen = self.listen.iter().map(|at| ("ui.listen", "--listen", at.clone()));
        let base = self.base_path.iter().map(|path| ("ui.base_path", "--base-path", path.clone()));
        let read_only = self.read_only.then(|| ("ui.read_only", "--read-only", "true".to_owned()));
        listen.chain(base).chain(read_only)
    }
}

/// Where the pages are when nobody says.
const LISTEN: &str = "127.0.0.1:8082";
/// Open pages hold a stream that ends with the process.
const GOODBYE: Duration = Duration::from_secs(2);

/// Serves until it is told to stop.
pub(super) async fn run(config: &Config) -> Result<(), Failure> {
    let mut running = Running::begin(config, false, Missing::Refuse)?;
    running.ready.needs_database(running.backend.database()?);
    let metrics = start_metrics(Names::Own)?;
    let health = health::probes(health_of(&running.ready, &metrics, Shown::Causes));
    let site =
        Site::listen(config, &running.backend, config.some(&keys::UI_LISTEN).unwrap_or(LISTEN)).await?;
    let url = site.url().to_owned();
    let serving = site.serve(health, &running.shutdown);
    output::line(format!("Backshift's pages are at {url}"));
    if !running.store_answers(config, Schema::Configured).await? {
        return Ok(());
    }
    let (backend, shutdown) =
        running.started(("the pages close; workers elsewhere go on", "open pages are cut off"));
    shutdown.quieted().await;
    let _ = tokio::time::timeout(GOODBYE, serving).await;
    backend.leave().await;
    Ok(())
}
