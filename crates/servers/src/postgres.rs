//! PostgreSQL of the distribution. Durable settings stay on unless they are wished away: the product's own boot check
//! refuses a server without them, and rightly.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{Launch, Service, Signal, Site, account::Account, command::run, programs, wire};

/// The server; superuser `postgres`, without a password unless one is wished, loopback only.
#[derive(Debug)]
pub struct Postgres;

const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 300\njit = off\n\
                        timezone = 'UTC'\n";
const LARGE: &str = "shared_buffers = 512MB\nmax_wal_size = 4GB\n";
const SMALL: &str = "shared_buffers = 128MB\nmax_wal_size = 2GB\n";
const FAST: &str = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n";

impl Service for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn package(&self) -> &'static str {
        "postgresql"
    }

    fn is_installed(&self) -> bool {
        programs::find("initdb").is_ok()
    }

    fn account(&self) -> &'static str {
        "postgres"
    }

    fn prepare(&self, site: &Site) -> Result<()> {
        initdb(site)?;
        let mut text = std::fs::read_to_string(site.file("data/postgresql.conf"))?;
        text += &format!("\nport = {}\ncluster_name = '{}'\n{SETTINGS}", site.port("main")?, identity(site));
        text += if site.wishes.small { SMALL } else { LARGE };
        text += if site.wishes.fast { FAST } else { "" };
        if let Some((certificate, key)) = &site.wishes.certificate {
            text += "ssl = on\n";
            site.write("data/server.crt", certificate)?;
            site.write_secret("data/server.key", key)?;
        }
        site.write("data/postgresql.conf", &text).map(drop)
    }

    fn launch(&self, site: &Site) -> Result<Launch> {
        let args = ["-D".into(), site.file("data").into_os_string()];
        // INT: end sessions, write a checkpoint, stop.
        Ok(Launch::new(programs::find("postgres")?, args).stopped_by(Signal::Int))
    }

    fn probe(&self, site: &Site) -> Result<()> {
        match site.wishes.login {
            None => check_identity(site),
            // It takes nobody's word, and while it starts it does not even ask.
            Some(_) => wire::postgres_asks(site.port("main")?),
        }
    }

    fn url(&self, site: &Site) -> Result<String> {
        let password = site.wishes.login.as_ref().map(|(_, password)| format!(":{password}"));
        let port = site.port("main")?;
        Ok(format!("postgres://postgres{}@127.0.0.1:{port}/postgres", password.unwrap_or_default()))
    }

    fn variables(&self, site: &Site) -> Result<Vec<(&'static str, String)>> {
        Ok(vec![("BACKSHIFT_TEST_POSTGRES_URL", self.url(site)?)])
    }
}

fn initdb(site: &Site) -> Result<()> {
    let mut initdb = Command::new(programs::find("initdb")?);
    initdb.arg("-D").arg(site.file("data")).args([
        "-U",
        "postgres",
        "-E",
        "UTF8",
        "--no-locale",
        "--no-sync",
    ]);
    match &site.wishes.login {
        None => initdb.args(["-A", "trust"]),
        Some((method, password)) => {
            let file = site.write_secret("password", password)?;
            initdb.args(["-A", method]).arg("--pwfile").arg(file)
        }
    };
    initdb.current_dir(&site.dir);
    Account::apply(site.account, &mut initdb);
    run(&mut initdb).map(drop)
}

/// Whether the PostgreSQL behind the main port is the one of this site.
pub(crate) fn check_identity(site: &Site) -> Result<()> {
    let port = site.port("main")?;
    let said = wire::postgres(port, "SELECT current_setting('cluster_name')")?;
    if said != identity(site) {
        bail!("port {port} belongs to another PostgreSQL ({said:?})");
    }
    Ok(())
}

/// The `cluster_name` that the server states.
fn identity(site: &Site) -> String {
    format!("backshift-{}", site.nonce)
}
