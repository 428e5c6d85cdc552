//! Redis with its log synced every second, as a production server would be; nothing else is persisted.

use anyhow::{Result, bail};

use crate::{Launch, Service, Site, programs, wire};

/// The server, loopback only, no password.
#[derive(Debug)]
pub struct Redis;

impl Service for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn program(&self) -> &'static str {
        "redis-server"
    }

    fn launch(&self, site: &Site) -> Result<Launch> {
        let (port, dir) = (site.port("main")?.to_string(), site.dir.display().to_string());
        let append = if site.wishes.fast { "no" } else { "yes" };
        let args =
            ["--port", &port, "--bind", "127.0.0.1", "--dir", &dir, "--appendonly", append, "--save", ""];
        Ok(Launch::new(programs::find(self.program())?, args))
    }

    fn probe(&self, site: &Site) -> Result<()> {
        let port = site.port("main")?;
        let info = wire::redis(port, "INFO server")?;
        let pid =
            info.lines().find_map(|line| line.trim_end().strip_prefix("process_id:")).unwrap_or_default();
        // A container sees a pid of its own.
        if site.pid.is_some_and(|ours| ours.to_string() != pid) {
            bail!("port {port} belongs to another Redis (process {pid})");
        }
        // While it reads its log it answers such questions, and no other ones.
        if !wire::redis(port, "INFO persistence")?.contains("loading:0") {
            bail!("Redis still reads its log");
        }
        Ok(())
    }

    fn url(&self, site: &Site) -> Result<String> {
        Ok(format!("redis://127.0.0.1:{}/0", site.port("main")?))
    }

    fn variables(&self, site: &Site) -> Result<Vec<(&'static str, String)>> {
        Ok(vec![("BACKSHIFT_TEST_REDIS_URL", self.url(site)?)])
    }
}
