//! A private PostgreSQL with durable settings: what it confirmed survives its kill.

use std::io;

use tokio::process::Command;

use super::place::Place;
use crate::{ports::free_port, programs};

pub(super) struct Postgres {
    pub(super) place: Place,
    pub(super) port: u16,
}

const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 300\njit = off\n\
                        timezone = 'UTC'\nshared_buffers = 128MB\nmax_wal_size = 2GB\n";

impl Postgres {
    /// Makes the data directory.
    pub(super) async fn prepare() -> io::Result<Self> {
        let (place, port) = (Place::new("postgres", "postgres")?, free_port()?);
        let data = place.directory.join("data");
        let mut initdb = programs::command("initdb")?;
        initdb.arg("-D").arg(&data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale"]);
        initdb.arg("--no-sync").current_dir(&place.directory).kill_on_drop(true);
        place.account.apply(&mut initdb);
        let made = initdb.output().await?;
        if !made.status.success() {
            return Err(io::Error::other(format!("initdb: {}", String::from_utf8_lossy(&made.stderr))));
        }
        let conf = data.join("postgresql.conf");
        let text = std::fs::read_to_string(&conf)?;
        place.account.write(&conf, &format!("{text}\nport = {port}\n{SETTINGS}"))?;
        Ok(Self { place, port })
    }

    pub(super) fn command(&self) -> io::Result<Command> {
        let mut command = programs::command("postgres")?;
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command.arg("-D").arg(self.place.directory.join("data"));
        Ok(command)
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Whether it takes statements.
    pub(super) async fn answers(&self) -> bool {
        let Ok((client, connection)) = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await
        else {
            return false;
        };
        let connection = tokio::spawn(connection);
        let answers = client.simple_query("SELECT 1").await.is_ok();
        connection.abort();
        answers
    }
}
