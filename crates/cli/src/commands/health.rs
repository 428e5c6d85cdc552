//! `backshift health`: asks a running worker or API of this machine whether it is ready, so that an image needs no curl.
//!
//! 0 = ready, also while something is degraded; 1 = not ready; 69 = nobody answers there.

use std::{net::SocketAddr, time::Duration};

use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    config::{Config, keys},
    exit::Failure,
    output,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which process of this machine: the worker's port (worker.http_addr) or the API's (api.host, api.port).
    #[arg(value_parser = ["worker", "api"], default_value = "worker")]
    process: String,
    /// Another address instead, such as 127.0.0.1:8080.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Only whether it lives (/healthz): for a liveness probe, which must not end a worker because a server is away.
    #[arg(long)]
    live: bool,
    /// Print the answer as it came.
    #[arg(long)]
    json: bool,
}

/// Probes give up after about ten seconds; whoever asks wants to hear why before.
const PATIENCE: Duration = Duration::from_secs(8);
/// More than every part of a process takes to describe.
const LONGEST: usize = 1 << 20;

/// What `/readyz` and `/healthz` answer.
#[derive(Deserialize)]
struct Report {
    status: String,
    #[serde(default)]
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Check {
    name: String,
    state: String,
    cause: Option<String>,
    detail: Option<String>,
}

/// Asks and prints the answer.
pub(super) async fn run(args: &Args, config: &Config) -> Result<(), Failure> {
    let address = address(args, config);
    let path = if args.live { "/healthz" } else { "/readyz" };
    let answer =
        timeout(PATIENCE, ask(&address, path)).await.unwrap_or_else(|_| Err("it does not answer".into()));
    let (status, body) = answer.map_err(|why| {
        Failure::unreachable(format!(
            "nobody answers at http://{address}{path}: {why}; name the place with --address, or with {}",
            if args.process == "api" { "api.host and api.port" } else { "worker.http_addr" }
        ))
    })?;
    if args.json {
        output::line(&body);
    }
    let Ok(report) = serde_json::from_str::<Report>(&body) else {
        return Err(Failure::failed(format!(
            "http://{address}{path} is no process of Backshift: it answers {status}"
        )));
    };
    if !args.json {
        output::line(&report.status);
        report.checks.iter().for_each(|check| output::line(format!("  {}", told(check))));
    }
    match status {
        StatusCode::OK => Ok(()),
        _ => Err(Failure::failed(format!("http://{address} is {}", report.status))),
    }
}

fn told(check: &Check) -> String {
    let why =
        check.detail.as_ref().or(check.cause.as_ref()).map(|why| format!(": {why}")).unwrap_or_default();
    format!("{} {}{why}", check.name, check.state)
}

/// Where the process listens; one that listens everywhere is asked on loopback.
fn address(args: &Args, config: &Config) -> String {
    let address = match (&args.address, args.process.as_str()) {
        (Some(address), _) => address.clone(),
        (None, "api") => format!("{}:{}", config.get(&keys::API_HOST), config.get(&keys::API_PORT)),
        (None, _) => config.get(&keys::WORKER_HTTP_ADDR).to_owned(),
    };
    match address.parse::<SocketAddr>() {
        Ok(everywhere) if everywhere.ip().is_unspecified() => match everywhere {
            SocketAddr::V4(_) => format!("127.0.0.1:{}", everywhere.port()),
            SocketAddr::V6(_) => format!("[::1]:{}", everywhere.port()),
        },
        _ => address,
    }
}

async fn ask(address: &str, path: &str) -> Result<(StatusCode, String), String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let request = Request::get(path).header(header::HOST, address).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body =
        Limited::new(answer.into_body(), LONGEST).collect().await.map_err(|error| error.to_string())?;
    driver.abort();
    Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(process: &str, address: Option<&str>, flags: &[(&'static str, &str)]) -> String {
        let process = process.to_owned();
        let args = Args { process, address: address.map(str::to_owned), live: false, json: false };
        super::address(&args, &Config::of_flags(flags))
    }

    #[test]
    fn the_process_is_asked_where_it_listens_and_on_loopback_when_that_is_everywhere() {
        assert_eq!(asked("worker", None, &[]), "127.0.0.1:8081");
        assert_eq!(asked("api", None, &[("api.host", "0.0.0.0")]), "127.0.0.1:8080");
        assert_eq!(asked("worker", None, &[("worker.http_addr", "[::]:9")]), "[::1]:9");
        assert_eq!(asked("worker", None, &[("worker.http_addr", "localhost:9")]), "localhost:9");
        assert_eq!(asked("api", Some("10.0.0.1:80"), &[]), "10.0.0.1:80");
    }
}
