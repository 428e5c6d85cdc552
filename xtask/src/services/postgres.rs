//! PostgreSQL of the distribution. Durable settings stay on unless `--fast`: the product's own boot check refuses a
//! server without them, and rightly.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::account::Account;
use super::record::Record;
use super::start::{Service, Site};
use super::wire;
use crate::workspace::{run, which};

/// The server; superuser `postgres` without a password, loopback only.
pub(crate) struct Postgres;

const SETTINGS: &str = "unix_socket_directories = ''\nmax_connections = 300\njit = off\ntimezone = 'UTC'\n\
                        shared_buffers = 512MB\nmax_wal_size = 4GB\n";
const FAST: &str = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n";

impl Service for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn missing_packages(&self) -> Vec<&'static str> {
        if binaries().is_some() { Vec::new() } else { vec!["postgresql"] }
    }

    fn account(&self) -> &'static str {
        "postgres"
    }

    fn start(&self, site: &mut Site<'_>) -> Result<()> {
        let bin = binaries().context("PostgreSQL's initdb and postgres are nowhere to be found")?;
        let data = site.dir.join("data");
        let mut initdb = Command::new(bin.join("initdb"));
        initdb.arg("-D").arg(&data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8"]);
        initdb.args(["--no-locale", "--no-sync"]).current_dir(&site.dir);
        Account::apply(site.account, &mut initdb);
        run(&mut initdb)?;
        let conf = data.join("postgresql.conf");
        let mut text = std::fs::read_to_string(&conf)?;
        text += &format!("\nlisten_addresses = '127.0.0.1'\nport = {}\n", site.record.port("main")?);
        text += &format!("cluster_name = '{}'\n{SETTINGS}", identity(&site.record));
        text += if site.record.fast { FAST } else { "" };
        Account::write(site.account, &conf, &text)?;
        let args = vec!["-D".to_owned(), data.display().to_string()];
        // INT: end sessions, write a checkpoint, stop.
        site.launch(&bin.join("postgres"), args, Vec::new(), "INT")
    }

    fn probe(&self, record: &Record) -> Result<()> {
        check_identity(record.port("main")?, record)
    }

    fn variables(&self, record: &Record, _dir: &Path) -> Result<Vec<(&'static str, String)>> {
        Ok(vec![("BACKSHIFT_TEST_POSTGRES_URL", url(record.port("main")?))])
    }
}

/// Whether the PostgreSQL behind `port` is the one of this record.
pub(super) fn check_identity(port: u16, record: &Record) -> Result<()> {
    let said = wire::postgres(port, "SELECT current_setting('cluster_name')")?;
    if said != identity(record) {
        bail!("port {port} belongs to another PostgreSQL ({said:?})");
    }
    Ok(())
}

/// How tests reach a PostgreSQL or PgBouncer on `port`.
pub(super) fn url(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}

/// The `cluster_name` that the server states.
fn identity(record: &Record) -> String {
    format!("backshift-{}", record.nonce)
}

/// The newest installed version's directory of programs.
pub(super) fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").is_file())
        .max();
    newest.map(|(_, bin)| bin).or_else(|| Some(which("initdb")?.canonicalize().ok()?.parent()?.to_path_buf()))
}
