//! Real worker processes, one of them frozen beyond its lease and resumed: its late result is refused, one effect.
//!
//! The probe kind writes its effect in the transaction that completes the job (docs/contracts/probe.md), so a refused
//! completion takes the effect along.

use std::time::Duration;

use backshift_store::{Database, Options};
use backshift_testkit::{
    pace,
    process::{Running, run},
    servers::{TestDatabase, require, unique_name},
    wait,
};

const PATIENCE: Duration = Duration::from_secs(40);

/// Milliseconds, more on a busy machine: a job may not be done before its worker is frozen, nor a lease over while one lives.
fn stretched(ms: u64) -> u64 {
    u64::try_from(pace::stretched(Duration::from_millis(ms)).as_millis()).unwrap_or(u64::MAX)
}

/// One queue on one pair of broker and store.
struct Site {
    broker: String,
    store: String,
    queue: String,
    db: Database,
}

impl Site {
    async fn new(broker: String, store: String) -> Self {
        let settings = [("DATABASE_URL", store.as_str()), ("BACKSHIFT_PROBE", "true")];
        let migrated = run(&["migrate", "up"], &settings).await;
        assert!(migrated.status.success(), "migrate up: {}", String::from_utf8_lossy(&migrated.stderr));
        let db = Database::open(&store, &Options { connections: 2, ..Options::default() });
        let db = db.expect("the address is one of a database");
        Self { broker, queue: unique_name("frozen"), store, db }
    }

    fn worker(&self, name: &str) -> Running {
        let queue = format!("{}:1", self.queue);
        let arguments = ["worker", "--broker", &self.broker, "--store", &self.store, "--queue", &queue];
        let lease = format!("{}ms", stretched(3_000));
        let settings = [
            ("BACKSHIFT_PROBE", "true"),
            ("BACKSHIFT_WORKER_NAME", name),
            ("BACKSHIFT_WORKER_LEASE", &*lease),
        ];
        Running::start(&arguments, &settings)
    }

    async fn enqueue(&self, payload: &str) {
        let place = ["--broker", &self.broker, "--store", &self.store, "--queue", &self.queue];
        let job = ["enqueue", "backshift.probe", "--payload", payload, "--json"];
        let accepted = run(&[&job[..], &place[..]].concat(), &[("BACKSHIFT_PROBE", "true")]).await;
        assert!(accepted.status.success(), "enqueue: {}", String::from_utf8_lossy(&accepted.stderr));
    }

    async fn count(&self, statement: &'static str) -> i64 {
        self.db.sql(statement).one::<i64>().await.unwrap_or(-1)
    }

    async fn until(&self, statement: &'static str, wanted: i64) -> bool {
        wait::until(PATIENCE, || async { self.count(statement).await == wanted }).await
    }
}

const STARTS: &str = "SELECT COUNT(*) FROM backshift_probe_attempts";
const EFFECTS: &str = "SELECT COUNT(*) FROM backshift_probe_effects WHERE key = 'k'";
const DONE: &str = "SELECT COUNT(*) FROM background_jobs WHERE status = 'completed'";
const STALE_EFFECTS: &str = "SELECT COUNT(*) FROM backshift_probe_effects WHERE key = 'k' AND token < \
                             (SELECT MAX(token) FROM backshift_probe_attempts WHERE key = 'k')";
const COUNTED: &str = "SELECT COUNT(*) FROM backshift_probe_attempts WHERE attempt <> 1";

async fn drained(worker: &mut Running) {
    worker.terminate();
    let status = worker.ended(PATIENCE).await;
    assert!(status.is_some_and(|status| status.success()), "{status:?}:\n{}", worker.output());
}

async fn frozen_worker_changes_nothing(site: Site) {
    let mut frozen = site.worker("frozen");
    site.enqueue(&format!(r#"{{"key":"k","mode":"sleep","ms":{},"fails":0}}"#, stretched(2_000))).await;
    assert!(site.until(STARTS, 1).await, "nobody took the job:\n{}", frozen.output());
    frozen.freeze();
    let mut second = site.worker("second");
    let done = site.until(DONE, 1).await;
    let before = (site.count(STARTS).await, site.count(EFFECTS).await);
    frozen.resume();
    assert!(done, "the second worker did not finish the job:\n{}", second.output());
    assert_eq!(before, (2, 1), "starts and effects while the first worker is frozen");
    drained(&mut second).await;
    // The other one has one slot: once it has done another job, it has tried to write the effect of this one.
    site.enqueue(r#"{"key":"next","mode":"ok","ms":0,"fails":0}"#).await;
    assert!(site.until(DONE, 2).await, "it works no more:\n{}", frozen.output());
    drained(&mut frozen).await;
    assert_eq!(site.count(EFFECTS).await, 1, "effects of one job:\n{}", frozen.output());
    assert_eq!(site.count(STALE_EFFECTS).await, 0, "the effect carries the token of the frozen worker");
    assert_eq!(site.count(DONE).await, 2, "the late result changed the job");
    assert_eq!(site.count(COUNTED).await, 0, "a frozen worker counted as an attempt");
}

async fn killed_worker_loses_nothing(site: Site) {
    let killed = site.worker("killed");
    site.enqueue(&format!(r#"{{"key":"k","mode":"sleep","ms":{},"fails":0}}"#, stretched(1_500))).await;
    assert!(site.until(STARTS, 1).await, "nobody took the job:\n{}", killed.output());
    killed.kill().await;
    let second = site.worker("second");
    assert!(site.until(DONE, 1).await, "the job did not run again:\n{}", second.output());
    assert_eq!(site.count(STARTS).await, 2);
    assert_eq!(site.count(EFFECTS).await, 1);
    assert_eq!(site.count(COUNTED).await, 0, "a killed worker counted as an attempt");
}

async fn on_postgres() -> Option<(TestDatabase, Site)> {
    let database = TestDatabase::create().await?;
    let site = Site::new(database.url(), database.url()).await;
    Some((database, site))
}

async fn on_rabbitmq() -> Option<(TestDatabase, Site)> {
    let url = require("RABBITMQ_URL")?;
    let database = TestDatabase::create().await?;
    let site = Site::new(url, database.url()).await;
    Some((database, site))
}

async fn embedded() -> (tempfile::TempDir, Site) {
    let directory = tempfile::TempDir::new().expect("a directory can be made");
    let file = directory.path().join("backshift.db");
    let site = Site::new(format!("embedded:{}", file.display()), format!("sqlite:{}", file.display())).await;
    (directory, site)
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_worker_on_postgres_changes_nothing() {
    let Some((_database, site)) = on_postgres().await else { return };
    frozen_worker_changes_nothing(site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_worker_on_rabbitmq_changes_nothing() {
    let Some((_database, site)) = on_rabbitmq().await else { return };
    frozen_worker_changes_nothing(site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_worker_on_the_embedded_file_changes_nothing() {
    let (_directory, site) = embedded().await;
    frozen_worker_changes_nothing(site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_worker_on_postgres_loses_nothing() {
    let Some((_database, site)) = on_postgres().await else { return };
    killed_worker_loses_nothing(site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_worker_on_rabbitmq_loses_nothing() {
    let Some((_database, site)) = on_rabbitmq().await else { return };
    killed_worker_loses_nothing(site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_worker_on_the_embedded_file_loses_nothing() {
    let (_directory, site) = embedded().await;
    killed_worker_loses_nothing(site).await;
}
