//! NATS with JetStream. Debian 12's 2.9 silently drops fields that it does not know (`filter_subjects`, for one).

use anyhow::{Result, bail};

use crate::{Launch, Service, Site, programs, wire};

/// The server, loopback only, no password.
#[derive(Debug)]
pub struct Nats;

impl Service for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn program(&self) -> &'static str {
        "nats-server"
    }

    fn ports(&self) -> &'static [&'static str] {
        &["main", "monitor"]
    }

    fn launch(&self, site: &Site) -> Result<Launch> {
        let (port, monitor) = (site.port("main")?.to_string(), site.port("monitor")?.to_string());
        let data = site.file("js").display().to_string();
        let name = format!("backshift-{}", site.nonce);
        let args = ["-js", "-sd", &data, "-a", "127.0.0.1", "-p", &port, "-m", &monitor, "-n", &name];
        Ok(Launch::new(programs::find(self.program())?, args))
    }

    fn probe(&self, site: &Site) -> Result<()> {
        let port = site.port("main")?;
        let said = wire::greeting(port)?;
        if !said.starts_with("INFO ") || !said.contains(&site.nonce) {
            bail!("port {port} does not answer as our NATS");
        }
        wire::http_get(site.port("monitor")?, "/healthz").map(drop)
    }

    fn url(&self, site: &Site) -> Result<String> {
        Ok(format!("nats://127.0.0.1:{}", site.port("main")?))
    }

    fn variables(&self, site: &Site) -> Result<Vec<(&'static str, String)>> {
        Ok(vec![("BACKSHIFT_TEST_NATS_URL", self.url(site)?)])
    }
}
