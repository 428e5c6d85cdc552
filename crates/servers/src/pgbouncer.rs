//! PgBouncer in transaction mode in front of our PostgreSQL: few server connections, so that two statements of one
//! client really land on different sessions. Any database name passes through.

use anyhow::{Context, Result};

use crate::{Launch, Service, Signal, Site, postgres, programs};

/// The pooler.
#[derive(Debug)]
pub struct PgBouncer;

impl Service for PgBouncer {
    fn name(&self) -> &'static str {
        "pgbouncer"
    }

    fn after(&self) -> Option<&'static str> {
        Some("postgres")
    }

    fn account(&self) -> &'static str {
        "postgres"
    }

    fn prepare(&self, site: &Site) -> Result<()> {
        let behind = site.behind.context("PgBouncer needs our PostgreSQL")?;
        let ini = format!(
            "[databases]\n* = host=127.0.0.1 port={behind} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 12\n\
             max_client_conn = 500\nignore_startup_parameters = extra_float_digits\n",
            site.port("main")?,
        );
        site.write("pgbouncer.ini", &ini).map(drop)
    }

    fn launch(&self, site: &Site) -> Result<Launch> {
        Ok(Launch::new(programs::find(self.program())?, [site.file("pgbouncer.ini")]).stopped_by(Signal::Int))
    }

    fn probe(&self, site: &Site) -> Result<()> {
        postgres::check_identity(site)
    }

    fn url(&self, site: &Site) -> Result<String> {
        Ok(format!("postgres://postgres@127.0.0.1:{}/postgres", site.port("main")?))
    }

    fn variables(&self, site: &Site) -> Result<Vec<(&'static str, String)>> {
        Ok(vec![("BACKSHIFT_TEST_PGBOUNCER_URL", self.url(site)?)])
    }
}
