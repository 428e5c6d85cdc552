//! Runs a test on a fresh SQLite file and on a fresh PostgreSQL database.

use backshift_store::{Database, Options, migrate};
use backshift_testkit::servers::TestDatabase;

/// A database of one test; what it lives in goes away with it.
pub(crate) struct Fresh {
    pub(crate) db: Database,
    _directory: Option<tempfile::TempDir>,
    _server: Option<TestDatabase>,
}

impl Fresh {
    pub(crate) async fn migrated(self) -> Self {
        // Where a test has made tables of the original before, they are taken over.
        let theirs = ["users", "plans", "subscriptions", "email_sends"].map(str::to_owned);
        migrate::up_adopting(&self.db, &migrate::ALL, &theirs)
            .await
            .expect("an empty database can be migrated");
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
    Fresh { db, _directory: Some(directory), _server: None }
}

/// An empty PostgreSQL database, when the server is there.
pub(crate) async fn postgres() -> Option<Fresh> {
    let server = TestDatabase::create().await?;
    let db = Database::open(&server.url(), &Options { connections: 8, ..Options::default() }).unwrap();
    Some(Fresh { db, _directory: None, _server: Some(server) })
}

/// Migrated databases.
pub(crate) async fn migrated() -> Vec<Fresh> {
    let mut all = Vec::new();
    for fresh in empty().await {
        all.push(fresh.migrated().await);
    }
    all
}
