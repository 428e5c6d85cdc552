//! A broker of one test with its store: enqueue probes, run workers, look at what became of both.
//!
//! The place is private (a file, a database, a virtual host) and goes away with its value.

use std::{path::PathBuf, time::Duration};

use backshift_testkit::{servers::TestDatabase, wait};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Ended, PATIENCE, Settings, Vhost, Worker, backshift, backshift_fed};

/// A broker, its store, and the flags that name them.
pub(crate) struct Place {
    pub(crate) flags: Vec<String>,
    pub(crate) settings: Settings,
    pub(crate) database: Option<TestDatabase>,
    vhost: Option<Vhost>,
    pub(crate) directory: TempDir,
}

impl Place {
    pub(crate) fn embedded() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let flags =
            vec!["--broker".to_owned(), format!("embedded:{}", directory.path().join("jobs.db").display())];
        Self { flags, settings: probe_settings(), database: None, vhost: None, directory }
    }

    pub(crate) async fn postgres() -> Option<Self> {
        Some(Self::in_database(TestDatabase::create().await?, None))
    }

    pub(crate) async fn rabbitmq() -> Option<Self> {
        let (database, vhost) = (TestDatabase::create().await?, Vhost::create().await?);
        Some(Self::in_database(database, Some(vhost)))
    }

    /// PostgreSQL is the broker, or the ledger of this virtual host.
    pub(crate) fn in_database(database: TestDatabase, vhost: Option<Vhost>) -> Self {
        let mut flags = vec!["--broker".to_owned()];
        flags.extend(vhost.iter().flat_map(|vhost| [vhost.url().to_owned(), "--store".to_owned()]));
        flags.push(database.url());
        let directory = tempfile::tempdir().unwrap();
        Self { flags, settings: probe_settings(), database: Some(database), vhost, directory }
    }

    /// A RabbitMQ at this address, and its ledger.
    pub(crate) fn at(broker: &str, database: TestDatabase) -> Self {
        let mut place = Self::in_database(database, None);
        place.flags.splice(1..1, [broker.to_owned(), "--store".to_owned()]);
        place
    }

    /// RabbitMQ with its ledger in a file.
    pub(crate) async fn rabbitmq_with_a_file() -> Option<Self> {
        let vhost = Vhost::create().await?;
        let place = Self::at_with_a_file(vhost.url());
        Some(Self { vhost: Some(vhost), ..place })
    }

    /// A RabbitMQ at this address, with its ledger in a file.
    pub(crate) fn at_with_a_file(broker: &str) -> Self {
        let mut place = Self::embedded();
        let file = format!("sqlite:{}", place.file().display());
        place.flags = ["--broker", broker, "--store", &file].map(str::to_owned).to_vec();
        place
    }

    pub(crate) fn with(mut self, pairs: &[(&str, &str)]) -> Self {
        self.settings = self.settings.with(pairs);
        self
    }

    /// The same database through another door.
    pub(crate) fn through(mut self, door: &str) -> Self {
        let database = self.database.as_ref().expect("a database has doors");
        self.flags = vec!["--broker".to_owned(), database.url_at(door)];
        self
    }

    /// The same as another user of the broker.
    pub(crate) fn by(mut self, url: &str) -> Self {
        url.clone_into(&mut self.flags[1]);
        self
    }

    /// The SQLite file.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("jobs.db")
    }

    /// The virtual host of a RabbitMQ that this place has for itself.
    pub(crate) fn vhost(&self) -> &Vhost {
        self.vhost.as_ref().expect("this place is one of RabbitMQ")
    }

    fn store(&self) -> Vec<&str> {
        // An SQL broker is its own store; RabbitMQ's is named by the second pair.
        let at = if self.flags.len() == 4 { 2 } else { 0 };
        vec![&self.flags[at], &self.flags[at + 1]]
    }

    pub(crate) async fn migrate(&self) {
        if self.database.is_some() {
            let store = self.flags.last().unwrap();
            backshift(&["migrate", "up", "--store", store], &self.settings.pairs()).await.done();
        }
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        backshift(&[arguments, &self.store()].concat(), &self.settings.pairs()).await
    }

    /// Enqueues these lines; their ids.
    pub(crate) async fn enqueue(&self, lines: &[Value]) -> Vec<String> {
        self.enqueue_with(lines, &[]).await
    }

    /// The same with settings of this call alone.
    pub(crate) async fn enqueue_with(&self, lines: &[Value], pairs: &[(&str, &str)]) -> Vec<String> {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let input: Vec<String> = lines.iter().map(Value::to_string).collect();
        let arguments = [&["enqueue", "--stdin", "--json"][..], &flags].concat();
        let settings = self.settings.with(pairs);
        let ended = backshift_fed(&arguments, &settings.pairs(), &input.join("\n")).await.done();
        ended.list().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn worker(&self, queue: &str) -> Worker {
        self.start(queue).when_ready().await
    }

    pub(crate) fn start(&self, queue: &str) -> Worker {
        self.start_with(queue, &[])
    }

    /// With settings that are this worker's alone.
    pub(crate) fn start_with(&self, queue: &str, pairs: &[(&str, &str)]) -> Worker {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        Worker::start(&[&["worker", "--queue", queue][..], &flags].concat(), &self.settings.with(pairs))
    }

    /// A worker that is ready, and reaches its servers by other flags than the commands do.
    pub(crate) async fn worker_by(&self, queue: &str, flags: &[&str]) -> Worker {
        Worker::ready(&[&["worker", "--queue", queue], flags].concat(), &self.settings).await
    }

    pub(crate) async fn show(&self, id: &str) -> Value {
        self.run(&["jobs", "show", "--json", id]).await.done().json()
    }

    /// Waits until the job is in this state. A job of a foreign broker has its row from the first claim on.
    pub(crate) async fn wait_state(&self, id: &str, state: &str) -> Value {
        let reached = wait::until_some(PATIENCE, || async {
            let ended = self.run(&["jobs", "show", "--json", id]).await;
            (ended.code == 0).then(|| ended.json()).filter(|job| job["state"] == state)
        });
        match reached.await {
            Some(job) => job,
            None => panic!("{id} is not {state}: {:#}", self.show(id).await),
        }
    }

    /// The completed jobs of a queue, at most 500.
    pub(crate) async fn completed(&self, queue: &str) -> Vec<Value> {
        let arguments =
            ["jobs", "list", "--json", "--limit", "500", "--state", "completed", "--queue", queue];
        self.run(&arguments).await.done().list()
    }

    /// Rows of a probe table: key, attempt, token, worker.
    pub(crate) async fn probes(&self, table: &str) -> Vec<(String, i32, i64, String)> {
        let sql = format!("SELECT key, attempt, token, worker FROM backshift_probe_{table} ORDER BY token");
        match &self.database {
            None => {
                let file = rusqlite::Connection::open(self.file()).unwrap();
                file.busy_timeout(Duration::from_secs(5)).unwrap();
                let mut statement = file.prepare(&sql).unwrap();
                let rows =
                    statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))).unwrap();
                rows.map(Result::unwrap).collect()
            }
            Some(database) => {
                let (client, connection) =
                    tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
                let connection = tokio::spawn(connection);
                let rows = client.query(&sql, &[]).await.unwrap();
                connection.abort();
                rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
            }
        }
    }

    /// Whether the broker has this queue in a virtual host, and how many messages it holds.
    pub(crate) async fn depth(&self, queue: &str) -> Option<u32> {
        self.vhost.as_ref()?.depth(queue).await
    }

    /// How many rows of a probe table have this key.
    pub(crate) async fn count(&self, table: &str, key: &str) -> usize {
        self.probes(table).await.iter().filter(|row| row.0 == key).count()
    }
}

/// Short retries and an early end of them.
pub(crate) fn probe_settings() -> Settings {
    Settings::of(&[
        ("BACKSHIFT_PROBE", "true"),
        ("BACKSHIFT_RETRY_BASE", "50ms"),
        ("BACKSHIFT_RETRY_CAP", "200ms"),
        ("BACKSHIFT_MAX_ATTEMPTS", "3"),
        ("BACKSHIFT_SHUTDOWN_GRACE", "3s"),
    ])
}

/// A line for `enqueue --stdin`.
pub(crate) fn probe(key: &str, mode: &str, ms: u64, fails: u32) -> Value {
    let payload = json!({"key": key, "mode": mode, "ms": ms, "fails": fails});
    json!({"kind": "backshift.probe", "queue": "probes", "payload": payload})
}
