//! One private server of any kind, and what may be done to it.
//!
//! A kill takes the whole family of processes; a start uses the same data and port again.

use std::{collections::BTreeMap, fmt, fs::File, io, process::Stdio, time::Duration};

use rustix::process::Signal;
use tokio::process::{Child, Command};

use super::{
    family,
    place::Place,
    postgres::{Door, Postgres},
    rabbitmq::RabbitMq,
};
use crate::wait;

/// How long a server may take to answer, on a machine that also builds.
const READY: Duration = Duration::from_secs(60);
/// How long a RabbitMQ may take to write new queues down.
const WRITTEN: Duration = Duration::from_secs(10);
const STOPPED: Duration = Duration::from_secs(30);

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// The distribution's PostgreSQL.
    Postgres,
    /// The distribution's RabbitMQ.
    RabbitMq,
}

enum Kind {
    Postgres(Postgres),
    RabbitMq(RabbitMq),
}

/// A running (or killed) server; gone with its data when dropped.
pub struct PrivateServer {
    // Dropped in this order: the processes first, the directory last.
    process: Option<Guarded>,
    _name_server: Option<Guarded>,
    kind: Kind,
}

impl fmt::Debug for PrivateServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PrivateServer").field(&self.url()).finish()
    }
}

impl PrivateServer {
    /// Makes fresh data and starts it; ready when this returns.
    ///
    /// # Errors
    /// The server is not installed, or did not answer within a minute; the text ends with its log.
    pub async fn start(kind: ServerKind) -> io::Result<Self> {
        match kind {
            ServerKind::Postgres => Self::postgres(Door::default()).await,
            ServerKind::RabbitMq => Self::rabbitmq(None).await,
        }
    }

    /// A RabbitMQ that also listens for TLS when it gets a certificate and its key, both PEM.
    ///
    /// # Errors
    /// As [`PrivateServer::start`].
    pub async fn rabbitmq(certificate: Option<(String, String)>) -> io::Result<Self> {
        let rabbit = RabbitMq::prepare(certificate)?;
        let names = Guarded::spawn(rabbit.name_server()?, &rabbit.place)?;
        let mut server = Self { process: None, _name_server: Some(names), kind: Kind::RabbitMq(rabbit) };
        server.resurrect().await?;
        Ok(server)
    }

    /// A PostgreSQL with this door.
    ///
    /// # Errors
    /// As [`PrivateServer::start`].
    pub async fn postgres(door: Door) -> io::Result<Self> {
        let kind = Kind::Postgres(Postgres::prepare(door).await?);
        let mut server = Self { process: None, _name_server: None, kind };
        server.resurrect().await?;
        Ok(server)
    }

    /// Which it is.
    pub fn kind(&self) -> ServerKind {
        match self.kind {
            Kind::Postgres(_) => ServerKind::Postgres,
            Kind::RabbitMq(_) => ServerKind::RabbitMq,
        }
    }

    /// Where clients find it, dead or alive.
    pub fn url(&self) -> String {
        match &self.kind {
            Kind::Postgres(server) => server.url(),
            Kind::RabbitMq(server) => server.url(),
        }
    }

    /// Where clients find a RabbitMQ's TLS, when it has a certificate.
    pub fn encrypted_url(&self) -> Option<String> {
        match &self.kind {
            Kind::Postgres(_) => None,
            Kind::RabbitMq(server) => server.encrypted_url(),
        }
    }

    /// SIGKILL to all its processes; returns when none is left.
    ///
    /// A RabbitMQ that has just made a quorum queue gets the moment in which it writes it down: see docs/spec/faults.md.
    pub async fn kill(&mut self) {
        if let (Kind::RabbitMq(server), Some(_)) = (&self.kind, &self.process) {
            wait::until(WRITTEN, || async { server.is_written() }).await;
        }
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Stops it as a service manager does, and waits for its end.
    pub async fn stop(&mut self) {
        let Some(process) = self.process.take() else { return };
        match &self.kind {
            Kind::Postgres(_) => process.stop(None, Signal::INT).await,
            // The script that we started only waits for the node.
            Kind::RabbitMq(server) => process.stop(server.node_process(), Signal::TERM).await,
        }
    }

    /// Starts it on its own data and port; returns when it answers.
    ///
    /// # Errors
    /// It did not answer within a minute; the text ends with its log.
    pub async fn resurrect(&mut self) -> io::Result<()> {
        let (command, place) = match &self.kind {
            Kind::Postgres(server) => (server.command()?, &server.place),
            Kind::RabbitMq(server) => (server.command()?, &server.place),
        };
        self.process = Some(Guarded::spawn(command, place)?);
        if wait::until(READY, || self.answers()).await {
            return Ok(());
        }
        let log = std::fs::read_to_string(place.directory.join("log")).unwrap_or_default();
        let end: Vec<&str> = log.lines().rev().take(15).collect();
        let end: Vec<&str> = end.into_iter().rev().collect();
        Err(io::Error::other(format!("{} does not answer; its log ends:\n{}", self.url(), end.join("\n"))))
    }

    /// SIGSTOP to all its processes.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT to all its processes.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Raises or ends a RabbitMQ's memory alarm, under which it blocks everybody who publishes.
    ///
    /// # Errors
    /// It refuses, or is not RabbitMQ.
    pub async fn memory_alarm(&self, on: bool) -> io::Result<()> {
        match &self.kind {
            Kind::Postgres(_) => Err(io::Error::other("only a RabbitMQ has a memory alarm")),
            Kind::RabbitMq(server) => server.memory_alarm(on).await,
        }
    }

    /// Makes a RabbitMQ close every channel, of those that are opened from now on, on which a delivery is not
    /// acknowledged for so long. Its own default is half an hour.
    ///
    /// # Errors
    /// It refuses, or is not RabbitMQ.
    pub async fn ack_timeout(&self, after: Duration) -> io::Result<()> {
        match &self.kind {
            Kind::Postgres(_) => Err(io::Error::other("only a RabbitMQ waits for acknowledgements")),
            Kind::RabbitMq(server) => server.ack_timeout(after).await,
        }
    }

    /// Whether it takes work.
    pub async fn answers(&self) -> bool {
        match &self.kind {
            Kind::Postgres(server) => server.answers().await,
            Kind::RabbitMq(server) => server.answers().await,
        }
    }

    /// What stands in each of its queues; a database has none.
    ///
    /// # Errors
    /// It does not answer, or has not counted yet.
    pub async fn queues(&self) -> io::Result<BTreeMap<String, u64>> {
        match &self.kind {
            Kind::Postgres(_) => Ok(BTreeMap::new()),
            Kind::RabbitMq(server) => server.queues().await,
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.process.as_ref().and_then(|process| process.0.id()) {
            family::signal(&family::family(pid), signal);
        }
    }
}

/// A process whose whole family dies with the value.
struct Guarded(Child);

impl Guarded {
    fn spawn(mut command: Command, place: &Place) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(place.directory.join("log"))?;
        command.current_dir(&place.directory).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.env("LANG", "C.UTF-8");
        place.account.apply(&mut command);
        Ok(Self(command.spawn()?))
    }

    async fn kill(mut self) {
        let Some(pid) = self.0.id() else { return };
        let pids = family::kill(pid);
        let _ = self.0.wait().await;
        if !family::gone(&pids).await {
            eprintln!("some of {pids:?} outlived SIGKILL");
        }
    }

    /// Signals this member of the family, or its head, and waits for the end of all.
    async fn stop(mut self, member: Option<u32>, signal: Signal) {
        let Some(pid) = self.0.id() else { return };
        let pids = family::family(pid);
        let told = member.filter(|member| pids.contains(member)).unwrap_or(pid);
        family::signal(&[told], signal);
        if wait::within(STOPPED, self.0.wait()).await.is_none() || !family::gone(&pids).await {
            family::signal(&pids, Signal::KILL);
            let _ = self.0.wait().await;
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(pid) = self.0.id() {
            family::kill(pid);
            let _ = self.0.try_wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was confirmed is there after a kill; a frozen server answers again when it is thawed.
    #[tokio::test]
    async fn postgres_is_killed_and_comes_back_with_its_data() {
        if crate::servers::require("POSTGRES_URL").is_none() {
            return;
        }
        let mut server = PrivateServer::start(ServerKind::Postgres).await.unwrap();
        let make = "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1);";
        let ask = async |url: String, sql: &str| {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            client.simple_query(sql).await.map(|rows| rows.len())
        };
        ask(server.url(), make).await.unwrap();
        server.kill().await;
        assert!(!server.answers().await);
        server.resurrect().await.unwrap();
        assert_eq!(ask(server.url(), "SELECT n FROM kept").await.unwrap(), 3, "description, row, end");
        server.stop().await;
        assert!(!server.answers().await);
    }
}
