//! The small HTTP port of a worker: `/healthz`, `/readyz`, `/metrics`.

use std::{future::Future, net::SocketAddr, sync::Arc};

use backshift_http::{
    health::{Health, probes},
    server::{Limits, finish, serve},
};
use tokio::net::TcpListener;

use super::{Metrics, Ready};
use crate::{
    config::{Config, Origin},
    exit::Failure,
};

/// What to do about a port that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Nobody chose it: go on without, with a warning (contracts/probe.md).
    GoOn,
    /// Somebody chose it: a configuration error.
    Refuse,
}

impl Taken {
    /// Refuses only what was set by hand.
    pub(crate) fn by_origin(origin: &Origin) -> Self {
        if *origin == Origin::Default { Self::GoOn } else { Self::Refuse }
    }
}

/// Listens on this address.
pub(crate) async fn bind(what: &str, address: &str, taken: Taken) -> Result<Option<TcpListener>, Failure> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if taken == Taken::GoOn && error.kind() == std::io::ErrorKind::AddrInUse => {
            tracing::warn!(address, "the port is taken; going on without {what}");
            Ok(None)
        }
        Err(error) => {
            Err(Failure::configuration(format!("{what}: {address} cannot be listened on: {error}")))
        }
    }
}

/// Serves a worker's probes until `stop`.
pub(crate) async fn serve_probes(
    config: &Config,
    ready: &Ready,
    metrics: &Metrics,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Option<SocketAddr>, Failure> {
    let taken = Taken::by_origin(config.origin("worker.http_addr"));
    let Some(listener) = bind("worker.http_addr", config.text("worker.http_addr"), taken).await? else {
        return Ok(None);
    };
    let address = listener.local_addr().ok();
    let router = finish(probes(health_of(ready, metrics)));
    let limits = Limits { grace: std::time::Duration::from_secs(1), connections: 64, ..Limits::default() };
    tokio::spawn(async move {
        if let Err(error) = serve(listener, router, limits, stop).await {
            tracing::error!(%error, "the probes' port failed");
        }
    });
    Ok(address)
}

/// What the health routes need.
pub(crate) fn health_of(ready: &Ready, metrics: &Metrics) -> Health {
    Health {
        service: "backshift",
        version: env!("CARGO_PKG_VERSION"),
        readiness: Arc::new(ready.clone()),
        metrics: metrics.renderer(),
    }
}
