//! PgBouncer in transaction mode in front of our PostgreSQL: few server connections, so that two statements of one
//! client really land on different sessions. Any database name passes through.

use std::path::Path;

use anyhow::{Context, Result};

use super::postgres;
use super::record::Record;
use super::start::{Service, Site};
use crate::workspace::which;

/// The pooler.
pub(crate) struct PgBouncer;

impl Service for PgBouncer {
    fn name(&self) -> &'static str {
        "pgbouncer"
    }

    fn after(&self) -> Option<&'static str> {
        Some("postgres")
    }

    fn missing_packages(&self) -> Vec<&'static str> {
        if which("pgbouncer").is_some() { Vec::new() } else { vec!["pgbouncer"] }
    }

    fn account(&self) -> &'static str {
        "postgres"
    }

    fn start(&self, site: &mut Site<'_>) -> Result<()> {
        let behind = Record::load(site.place, "postgres").context("PgBouncer needs our PostgreSQL")?;
        let ini = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 12\n\
             max_client_conn = 500\nignore_startup_parameters = extra_float_digits\n",
            behind.port("main")?,
            site.record.port("main")?,
        );
        let file = site.write("pgbouncer.ini", &ini)?;
        // The identity it states is that of the PostgreSQL behind it.
        site.record.nonce = behind.nonce;
        let program = which("pgbouncer").context("pgbouncer is nowhere to be found")?;
        site.launch(&program, vec![file.display().to_string()], Vec::new(), "INT")
    }

    fn probe(&self, record: &Record) -> Result<()> {
        postgres::check_identity(record.port("main")?, record)
    }

    fn variables(&self, record: &Record, _dir: &Path) -> Result<Vec<(&'static str, String)>> {
        Ok(vec![("BACKSHIFT_TEST_PGBOUNCER_URL", postgres::url(record.port("main")?))])
    }
}
