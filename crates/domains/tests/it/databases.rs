//! Runs a test on a fresh SQLite file and on a fresh PostgreSQL database.

use backshift_domains::{identity, mail, probe};
use backshift_store::{
    Database, Options,
    migrate::{self, ENGINE, Line},
};
use backshift_testkit::servers::{TestDatabase, require};

/// The engine's tables and those of every domain.
pub(crate) const LINES: [&Line; 4] = [&ENGINE, &mail::TABLES, &identity::TABLES, &probe::TABLES];

/// A database of one test; what it lives in goes away with it.
pub(crate) struct Fresh {
    pub(crate) db: Database,
    pub(crate) url: String,
    _directory: Option<tempfile::TempDir>,
    _server: Option<TestDatabase>,
}

impl Fresh {
    pub(crate) async fn migrated(self) -> Self {
        // Where a test has made tables of the original before, they are taken over.
        let theirs = ["users", "plans", "subscriptions", "email_sends"].map(str::to_owned);
        migrate::up_adopting(&self.db, &LINES, &theirs).await.expect("an empty database can be migrated");
        self
    }
}

/// Empty databases: SQLite always, PostgreSQL when its server is there.
pub(crate) async fn empty() -> Vec<Fresh> {
    let mut all = vec![sqlite()];
    all.extend(postgres().await);
    all
}

/// An empty SQLite file.
pub(crate) fn sqlite() -> Fresh {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("test.db").display());
    let db = Database::open(&url, &Options::default()).unwrap();
    Fresh { db, url, _directory: Some(directory), _server: None }
}

/// An empty PostgreSQL database, when the server is there.
pub(crate) async fn postgres() -> Option<Fresh> {
    let server = TestDatabase::create().await?;
    let url = server.url();
    Some(on(server, url))
}

/// The same behind PgBouncer in transaction mode.
pub(crate) async fn pooled() -> Option<Fresh> {
    let door = require("PGBOUNCER_URL")?;
    let server = TestDatabase::create().await?;
    let url = server.url_at(&door);
    Some(on(server, url))
}

fn on(server: TestDatabase, url: String) -> Fresh {
    let db = Database::open(&url, &Options { connections: 8, ..Options::default() }).unwrap();
    Fresh { db, url, _directory: None, _server: Some(server) }
}

/// Migrated databases.
pub(crate) async fn migrated() -> Vec<Fresh> {
    let mut all = Vec::new();
    for fresh in empty().await {
        all.push(fresh.migrated().await);
    }
    all
}
