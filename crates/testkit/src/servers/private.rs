//! A real server of one test alone: private data, private ports, and nobody minds when it is killed.
//!
//! The shared servers of `cargo xtask services` are never touched. A kill takes the whole family of processes; a start
//! uses the same data and ports again. Everything ends with its value, also after a panic; the data go with it.

use std::{collections::BTreeMap, fmt, io, time::Duration};

use backshift_servers::{Launch, Service, Signal, Site, Tuning, Wishes};
use rustix::process::Signal as Unix;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    task::spawn_blocking,
};

use super::family;
use crate::wait;

/// How long a server may take to answer, on a machine that also builds.
const READY: Duration = Duration::from_secs(60);
/// How long it may take until a kill would lose nothing.
const WRITTEN: Duration = Duration::from_secs(10);
const STOPPED: Duration = Duration::from_secs(30);

/// A running (or killed) server; gone with its data when dropped.
pub struct PrivateServer {
    // Dropped in this order: the processes first, the directory last.
    process: Option<Guarded>,
    _companion: Option<Guarded>,
    service: &'static dyn Service,
    site: Site,
    _directory: TempDir,
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
    pub async fn start(service: &'static dyn Service) -> io::Result<Self> {
        Self::with(service, Wishes::default()).await
    }

    /// The same with a certificate or a password.
    ///
    /// # Errors
    /// As [`PrivateServer::start`].
    pub async fn with(service: &'static dyn Service, wishes: Wishes) -> io::Result<Self> {
        // Below the system's temporary directory, which every account may enter.
        let directory = TempDir::with_prefix(format!("backshift-{}-", service.name()))?;
        let wishes = Wishes { small: true, ..wishes };
        let site = service.site(directory.path().to_owned(), wishes).map_err(told)?;
        let made = asked(service, &site, |service, site| {
            site.make_dir("")?;
            service.prepare(site)
        });
        made.await?;
        let companion = service.companion(&site).map_err(told)?;
        let companion = companion.map(|launch| Guarded::spawn(&launch, &site)).transpose()?;
        let mut server = Self { process: None, _companion: companion, service, site, _directory: directory };
        server.resurrect().await?;
        Ok(server)
    }

    /// Which it is.
    pub fn name(&self) -> &'static str {
        self.service.name()
    }

    /// Where clients find it, dead or alive.
    pub fn url(&self) -> String {
        self.service.url(&self.site).unwrap_or_else(|error| error.to_string())
    }

    /// Where clients find its TLS, if that is another address.
    pub fn encrypted_url(&self) -> Option<String> {
        self.service.encrypted_url(&self.site)
    }

    /// SIGKILL to all its processes; returns when none is left. A server with a known fault gets the moment in which it
    /// writes down what it confirmed: see docs/spec/faults.md.
    pub async fn kill(&mut self) {
        if self.process.is_some() {
            wait::until(WRITTEN, || async { self.service.may_be_killed(&self.site) }).await;
        }
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Stops it as a service manager does, and waits for its end.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop(self.service.node(&self.site)).await;
        }
    }

    /// Starts it on its own data and ports; returns when it answers.
    ///
    /// # Errors
    /// It did not answer within a minute; the text ends with its log.
    pub async fn resurrect(&mut self) -> io::Result<()> {
        let process = Guarded::spawn(&self.service.launch(&self.site).map_err(told)?, &self.site)?;
        self.site.pid = process.child.id();
        self.process = Some(process);
        if wait::until(READY, || self.answers()).await {
            return Ok(());
        }
        let (url, log) = (self.url(), self.site.end_of_log());
        Err(io::Error::other(format!("{url} does not answer; its log ends:\n{log}")))
    }

    /// SIGSTOP to all its processes.
    pub fn freeze(&self) {
        self.signal(Unix::STOP);
    }

    /// SIGCONT to all its processes.
    pub fn thaw(&self) {
        self.signal(Unix::CONT);
    }

    /// Changes how it behaves.
    ///
    /// # Errors
    /// It refuses, or has no such thing.
    pub async fn tune(&self, tuning: Tuning) -> io::Result<()> {
        asked(self.service, &self.site, move |service, site| service.tune(site, tuning)).await
    }

    /// Whether it takes work.
    pub async fn answers(&self) -> bool {
        asked(self.service, &self.site, |service, site| service.probe(site)).await.is_ok()
    }

    /// What stands in each of its queues; a database has none.
    ///
    /// # Errors
    /// It does not answer, or has not counted yet.
    pub async fn queues(&self) -> io::Result<BTreeMap<String, u64>> {
        asked(self.service, &self.site, |service, site| service.queues(site)).await
    }

    fn signal(&self, signal: Unix) {
        if let Some(pid) = self.process.as_ref().and_then(|process| process.child.id()) {
            family::signal(&backshift_servers::process::family(pid), signal);
        }
    }
}

/// A recipe may block: it is followed on a thread of its own.
async fn asked<T: Send + 'static>(
    service: &'static dyn Service,
    site: &Site,
    question: impl FnOnce(&dyn Service, &Site) -> anyhow::Result<T> + Send + 'static,
) -> io::Result<T> {
    let site = site.clone();
    let answer = spawn_blocking(move || question(service, &site)).await;
    answer.map_err(io::Error::other)?.map_err(told)
}

fn told(error: anyhow::Error) -> io::Error {
    io::Error::other(format!("{error:#}"))
}

/// A process whose whole family dies with the value.
struct Guarded {
    child: Child,
    signal: Signal,
}

impl Guarded {
    fn spawn(launch: &Launch, site: &Site) -> io::Result<Self> {
        let child = Command::from(launch.command(site).map_err(told)?).spawn()?;
        Ok(Self { child, signal: launch.signal })
    }

    async fn kill(mut self) {
        let Some(pid) = self.child.id() else { return };
        let pids = family::kill(pid);
        let _ = self.child.wait().await;
        if !family::gone(&pids).await {
            eprintln!("some of {pids:?} outlived SIGKILL");
        }
    }

    /// Signals the member of the family that is the server itself, or its head, and waits for the end of all.
    async fn stop(mut self, node: Option<u32>) {
        let Some(pid) = self.child.id() else { return };
        let pids = backshift_servers::process::family(pid);
        match node.filter(|node| pids.contains(node)) {
            Some(node) => family::signal(&[node], Unix::TERM),
            None => family::signal(&[pid], unix(self.signal)),
        }
        if wait::within(STOPPED, self.child.wait()).await.is_none() || !family::gone(&pids).await {
            family::signal(&pids, Unix::KILL);
            let _ = self.child.wait().await;
        }
    }
}

fn unix(signal: Signal) -> Unix {
    match signal {
        Signal::Term => Unix::TERM,
        Signal::Int => Unix::INT,
        Signal::Kill => Unix::KILL,
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(pid) = self.child.id() {
            family::kill(pid);
            let _ = self.child.try_wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use backshift_servers::{Postgres, catalog};

    use super::*;
    use crate::servers::require;

    /// What was confirmed is there after a kill.
    #[tokio::test]
    async fn postgres_is_killed_and_comes_back_with_its_data() {
        if require("POSTGRES_URL").is_none() {
            return;
        }
        let mut server = PrivateServer::start(&Postgres).await.unwrap();
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

    /// Each recipe holds for a server that dies, too. The unpacked RabbitMQ is made by `cargo xtask services` alone.
    #[tokio::test]
    async fn each_server_of_the_catalogue_is_killed_comes_back_and_stops() {
        if require("POSTGRES_URL").is_none() {
            return;
        }
        let private = |service: &&&dyn Service| service.after().is_none() && service.name() != "rabbitmq4";
        for service in catalog::ALL.iter().filter(private) {
            let name = service.name();
            let mut server = PrivateServer::start(*service).await.unwrap();
            assert!(server.url().contains("127.0.0.1"), "{}", server.url());
            server.kill().await;
            assert!(!server.answers().await, "{name}");
            server.resurrect().await.unwrap();
            server.queues().await.unwrap();
            server.stop().await;
            assert!(!server.answers().await, "{name}");
        }
    }
}
