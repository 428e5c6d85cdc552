//! NATS with JetStream. Debian 12's 2.9 silently drops fields that it does not know (`filter_subjects`, for one).

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::record::Record;
use super::start::{Service, Site};
use super::wire;
use crate::workspace::which;

/// The server, loopback only, no password.
pub(crate) struct Nats;

impl Service for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn missing_packages(&self) -> Vec<&'static str> {
        if which("nats-server").is_some() { Vec::new() } else { vec!["nats-server"] }
    }

    fn ports(&self) -> &'static [&'static str] {
        &["main", "monitor"]
    }

    fn start(&self, site: &mut Site<'_>) -> Result<()> {
        let program = which("nats-server").context("nats-server is nowhere to be found")?;
        let (port, monitor) =
            (site.record.port("main")?.to_string(), site.record.port("monitor")?.to_string());
        let data = site.dir.join("js").display().to_string();
        let name = format!("backshift-{}", site.record.nonce);
        let args = ["-js", "-sd", &data, "-a", "127.0.0.1", "-p", &port, "-m", &monitor, "-n", &name];
        site.launch(&program, args.map(str::to_owned).to_vec(), Vec::new(), "TERM")
    }

    fn probe(&self, record: &Record) -> Result<()> {
        let port = record.port("main")?;
        let said = wire::greeting(port)?;
        if !said.starts_with("INFO ") || !said.contains(&record.nonce) {
            bail!("port {port} does not answer as our NATS");
        }
        wire::http_get(record.port("monitor")?, "/healthz").map(drop)
    }

    fn variables(&self, record: &Record, _dir: &Path) -> Result<Vec<(&'static str, String)>> {
        Ok(vec![("BACKSHIFT_TEST_NATS_URL", format!("nats://127.0.0.1:{}", record.port("main")?))])
    }
}
