//! Listening: the ports and their limits, and the small port of a worker (`/healthz`, `/readyz`, `/metrics`).

use std::{future::Future, io::ErrorKind, net::SocketAddr, sync::Arc};

use backshift_http::{
    Shape,
    client::{HeaderName, Proxies},
    health::{Health, Shown, probes},
    server::{Limits, Times, finish, serve},
};
use tokio::net::TcpListener;

use super::{Metrics, Ready};
use crate::{
    config::{Config, Origin, keys},
    exit::Failure,
};

/// What to do about a port that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Nobody chose it: go on without, with a warning (docs/contracts/probe.md).
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

/// Listens on this address; `what` names the setting and its value.
pub(crate) async fn bind(what: &str, address: &str, taken: Taken) -> Result<Option<TcpListener>, Failure> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if taken == Taken::GoOn && error.kind() == ErrorKind::AddrInUse => {
            tracing::warn!(address, "the port is taken; going on without {what}");
            Ok(None)
        }
        Err(error) => {
            let remedy = match error.kind() {
                ErrorKind::AddrInUse => "name a free port, or end the process that has this one",
                ErrorKind::AddrNotAvailable => {
                    "name an address of this machine, such as 127.0.0.1 or 0.0.0.0"
                }
                ErrorKind::PermissionDenied => {
                    "ports below 1024 need a right of their own: name a higher one"
                }
                _ => "write HOST:PORT such as 127.0.0.1:8081",
            };
            Err(Failure::configuration(format!("{what} cannot be listened on: {error}; {remedy}")))
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
    let taken = Taken::by_origin(config.origin(&keys::WORKER_HTTP_ADDR));
    let what = config.told(&keys::WORKER_HTTP_ADDR);
    let Some(listener) = bind(&what, config.get(&keys::WORKER_HTTP_ADDR), taken).await? else {
        return Ok(None);
    };
    let address = listener.local_addr().ok();
    let router = finish(probes(health_of(ready, metrics, Shown::Details)), Shape::Problem);
    tokio::spawn(async move {
        if let Err(error) = serve(listener, router, Limits::of_probes(), stop).await {
            tracing::error!(%error, "the probes' port failed");
        }
    });
    Ok(address)
}

/// The limits of the API's port, and of `dev`'s.
pub(crate) fn limits(config: &Config) -> Result<Limits, Failure> {
    let trusted = config.get(&keys::API_TRUSTED_PROXIES).parse().map_err(Failure::configuration)?;
    let header: HeaderName =
        config.get(&keys::API_CLIENT_IP_HEADER).parse().map_err(Failure::configuration)?;
    let times = Times {
        first_byte: config.get(&keys::HTTP_FIRST_BYTE_TIMEOUT),
        head: config.get(&keys::HTTP_HEAD_TIMEOUT),
        body: config.get(&keys::HTTP_BODY_TIMEOUT),
        answer: config.get(&keys::HTTP_ANSWER_TIMEOUT),
        idle: config.get(&keys::HTTP_IDLE_TIMEOUT),
        grace: config.get(&keys::SHUTDOWN_GRACE),
    };
    let (wanted, room) = (config.get(&keys::HTTP_CONNECTIONS), descriptors());
    let connections = fitting(wanted, room);
    if connections < wanted && *config.origin(&keys::HTTP_CONNECTIONS) != Origin::Default {
        tracing::warn!(
            wanted,
            connections,
            "http.connections: not so many files may be open, fewer connections are; raise it (ulimit -n)"
        );
    }
    Ok(Limits {
        connections,
        connections_per_network: config.get(&keys::HTTP_CONNECTIONS_PER_NETWORK),
        requests_per_network: config.get(&keys::HTTP_REQUESTS_PER_NETWORK),
        times,
        proxies: Proxies::new(trusted, header),
        ..Limits::default()
    })
}

/// As many connections as there are descriptors for, when the database and our own files have theirs: without one left
/// nobody gets in, and no lost server is reached again.
fn fitting(wanted: usize, descriptors: Option<usize>) -> usize {
    const OTHERS: usize = 200;
    descriptors.map_or(wanted, |all| wanted.min(all.saturating_sub(OTHERS).max(all / 4)).max(1))
}

/// How many files this process may have open, where the system tells it.
fn descriptors() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What the health routes need.
pub(crate) fn health_of(ready: &Ready, metrics: &Metrics, shown: Shown) -> Health {
    Health {
        service: "backshift",
        version: env!("CARGO_PKG_VERSION"),
        readiness: Arc::new(ready.clone()),
        metrics: metrics.page(),
        shown,
    }
}

#[cfg(test)]
mod tests {
    use super::{descriptors, fitting};

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        assert_eq!(fitting(1024, None), 1024);
        assert_eq!(fitting(1024, Some(1_048_576)), 1024);
        assert_eq!(fitting(1024, Some(1024)), 824);
        assert_eq!(fitting(1024, Some(256)), 64);
        assert_eq!(fitting(1024, Some(0)), 1);
        assert!(!cfg!(target_os = "linux") || descriptors().is_some());
    }
}
