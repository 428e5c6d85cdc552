//! A private PostgreSQL with durable settings: what it confirmed survives its kill.

use std::{io, os::unix::fs::PermissionsExt};

use tokio::process::Command;

use super::place::Place;
use crate::{ports::free_port, programs};

pub(super) struct Postgres {
    pub(super) place: Place,
    pub(super) port: u16,
    password: Option<String>,
}

/// How a private PostgreSQL lets its clients in.
#[derive(Debug, Clone, Default)]
pub struct Door {
    /// Certificate and key as PEM; `None` = no TLS.
    pub certificate: Option<(String, String)>,
    /// Method of `pg_hba.conf` and the password, such as `scram-sha-256`; `None` = everybody.
    pub login: Option<(&'static str, String)>,
}

const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 300\njit = off\n\
                        timezone = 'UTC'\nshared_buffers = 128MB\nmax_wal_size = 2GB\n";

impl Postgres {
    /// Makes the data directory.
    pub(super) async fn prepare(door: Door) -> io::Result<Self> {
        let (place, port) = (Place::new("postgres", "postgres")?, free_port()?);
        let data = place.directory.join("data");
        let mut initdb = programs::command("initdb")?;
        initdb.arg("-D").arg(&data).args(["-U", "postgres", "-E", "UTF8", "--no-locale", "-A"]);
        initdb.arg(door.login.as_ref().map_or("trust", |(method, _)| *method));
        if let Some((_, password)) = &door.login {
            let file = place.directory.join("password");
            place.account.write(&file, password)?;
            initdb.arg("--pwfile").arg(file);
        }
        initdb.arg("--no-sync").current_dir(&place.directory).kill_on_drop(true);
        place.account.apply(&mut initdb);
        let made = initdb.output().await?;
        if !made.status.success() {
            return Err(io::Error::other(format!("initdb: {}", String::from_utf8_lossy(&made.stderr))));
        }
        let conf = data.join("postgresql.conf");
        let text = std::fs::read_to_string(&conf)?;
        let mut own = format!("{text}\nport = {port}\n{SETTINGS}");
        if let Some((certificate, key)) = &door.certificate {
            own.push_str("ssl = on\n");
            place.account.write(&data.join("server.crt"), certificate)?;
            place.account.write(&data.join("server.key"), key)?;
            std::fs::set_permissions(data.join("server.key"), std::fs::Permissions::from_mode(0o600))?;
        }
        place.account.write(&conf, &own)?;
        Ok(Self { place, port, password: door.login.map(|(_, password)| password) })
    }

    pub(super) fn command(&self) -> io::Result<Command> {
        let mut command = programs::command("postgres")?;
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command.arg("-D").arg(self.place.directory.join("data"));
        Ok(command)
    }

    pub(super) fn url(&self) -> String {
        let password = self.password.as_ref().map(|password| format!(":{password}")).unwrap_or_default();
        format!("postgres://postgres{password}@127.0.0.1:{}/postgres", self.port)
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
