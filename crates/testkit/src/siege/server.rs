//! The besieged: `backshift api` and `backshift worker` on an embedded store in a directory of their own.
//!
//! Both end with their value; nothing else is ever ended.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::{Child, Command};

use super::{honest::exchange, until};
use crate::ports::free_port;

const PATIENCE: Duration = Duration::from_secs(60);

/// The two processes.
#[derive(Debug)]
pub(super) struct Server {
    api: Child,
    _worker: Child,
    /// Where the API listens.
    pub(super) address: SocketAddr,
    /// Where the worker shows its health.
    pub(super) probes: SocketAddr,
    data: PathBuf,
}

impl Server {
    pub(super) async fn start(binary: &Path) -> io::Result<Self> {
        let data = std::env::temp_dir().join(format!("backshift-siege-{}", std::process::id()));
        fs::create_dir_all(&data)?;
        let (address, probes) = (local(free_port()?), local(free_port()?));
        let run = |verb: &str| {
            let mut command = Command::new(binary);
            command.arg(verb).current_dir(&data).env_clear().kill_on_drop(true);
            command
                .env("BACKSHIFT_DATA_DIR", &data)
                .env("BACKSHIFT_MIGRATE", "auto")
                .env("LOGGER_LEVEL", "error");
            command.env("JWT_SECRET", "a secret for an hour of siege, of no use to anybody");
            command.env("HOST", "127.0.0.1").env("APP_PORT", address.port().to_string());
            command.env("BACKSHIFT_WORKER_HTTP_ADDR", probes.to_string());
            command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()
        };
        let api = run("api")?;
        let ready = |address| async move {
            exchange(own(), address, "GET", "/readyz", "").await.is_ok_and(|s| s == 200)
        };
        let ready_api = until(PATIENCE, async || ready(address).await).await;
        let worker = run("worker")?;
        let server = Self { api, _worker: worker, address, probes, data };
        match ready_api && until(PATIENCE, async || ready(probes).await).await {
            true => Ok(server),
            false => Err(io::Error::other("the server did not become ready within a minute")),
        }
    }

    /// The resident memory of the API in bytes.
    pub(super) fn memory(&self) -> io::Result<u64> {
        let pid = self.api.id().ok_or_else(|| io::Error::other("the API has ended"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kib: u64 = line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_default();
        Ok(kib << 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.data);
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The honest client's first address.
pub(super) fn own() -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::LOCALHOST
}
