//! Redis with its log synced every second, as a production server would be; nothing else is persisted.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::record::Record;
use super::start::{Service, Site};
use super::wire;
use crate::workspace::which;

/// The server, loopback only, no password.
pub(crate) struct Redis;

impl Service for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn missing_packages(&self) -> Vec<&'static str> {
        if which("redis-server").is_some() { Vec::new() } else { vec!["redis-server"] }
    }

    fn start(&self, site: &mut Site<'_>) -> Result<()> {
        let program = which("redis-server").context("redis-server is nowhere to be found")?;
        let port = site.record.port("main")?.to_string();
        let dir = site.dir.display().to_string();
        let append = if site.record.fast { "no" } else { "yes" };
        let args =
            ["--port", &port, "--bind", "127.0.0.1", "--dir", &dir, "--appendonly", append, "--save", ""];
        site.launch(&program, args.map(str::to_owned).to_vec(), Vec::new(), "TERM")
    }

    fn probe(&self, record: &Record) -> Result<()> {
        let port = record.port("main")?;
        let info = wire::redis(port, "INFO server")?;
        let pid =
            info.lines().find_map(|line| line.trim_end().strip_prefix("process_id:")).unwrap_or_default();
        let ours = record.processes.first().map(|process| process.pid.to_string());
        // A container sees a pid of its own.
        if ours.is_some_and(|ours| ours != pid) {
            bail!("port {port} belongs to another Redis (process {pid})");
        }
        Ok(())
    }

    fn variables(&self, record: &Record, _dir: &Path) -> Result<Vec<(&'static str, String)>> {
        Ok(vec![("BACKSHIFT_TEST_REDIS_URL", format!("redis://127.0.0.1:{}/0", record.port("main")?))])
    }
}
