//! The harnesses of the SQL stores: a database or a file of its own for each case.
//!
//! PostgreSQL databases are copies of one that is migrated once, because a copy is much faster than a migration.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use backshift_store::{Database, Options, SqlStore, migrate};
use backshift_testkit::{
    conformance::{OpenStore, StoreHarness},
    servers::TestDatabase,
};
use tempfile::TempDir;

fn few() -> Options {
    Options { connections: 4, ..Options::default() }
}

/// PostgreSQL, reached directly or through PgBouncer.
#[derive(Clone)]
pub(crate) struct PostgresStores {
    name: &'static str,
    server: String,
    door: String,
    template: Arc<TestDatabase>,
}

impl PostgresStores {
    /// Stores on `server` that are used through `door`; the same address, or a pooler before it.
    pub(crate) async fn new(name: &'static str, server: String, door: String) -> Self {
        let template = Arc::new(TestDatabase::create_on(&server).await);
        let db = Database::open(&template.url(), &few()).expect("the address is one of PostgreSQL");
        migrate::up(&db, &[&migrate::ENGINE]).await.expect("an empty database can be migrated");
        let marks = include_str!("../../../store/tests/marks.sql");
        db.sql(marks).run().await.expect("a constraint on an empty table");
        db.close().await;
        Self { name, server, door, template }
    }

    /// A copy of the migrated database, and the address to use it by.
    pub(crate) async fn fresh(&self) -> (TestDatabase, String) {
        let database = TestDatabase::create_like(&self.server, self.template.name()).await;
        let url = database.url_at(&self.door);
        (database, url)
    }
}

#[async_trait]
impl StoreHarness for PostgresStores {
    fn name(&self) -> String {
        self.name.into()
    }

    async fn store(&self) -> Result<OpenStore, String> {
        let (database, url) = self.fresh().await;
        Ok(OpenStore::within(open(&url)?, database))
    }

    fn lease(&self) -> Duration {
        Duration::from_secs(2)
    }
}

/// SQLite, a file in a directory of its own.
#[derive(Clone)]
pub(crate) struct SqliteStores;

/// A migrated file, and the address to use it by.
pub(crate) async fn fresh_file() -> Result<(TempDir, String), String> {
    let directory = TempDir::new().map_err(|error| error.to_string())?;
    let url = format!("sqlite:{}", directory.path().join("backshift.db").display());
    let db = Database::open(&url, &few()).map_err(|error| error.to_string())?;
    migrate::up(&db, &[&migrate::ENGINE]).await.map_err(|error| error.to_string())?;
    db.close().await;
    Ok((directory, url))
}

/// The store at this address, as one process opens it.
pub(crate) fn open(url: &str) -> Result<SqlStore, String> {
    Database::open(url, &few()).map(SqlStore::new).map_err(|error| error.to_string())
}

#[async_trait]
impl StoreHarness for SqliteStores {
    fn name(&self) -> String {
        "sqlite".into()
    }

    async fn store(&self) -> Result<OpenStore, String> {
        let (directory, url) = fresh_file().await?;
        Ok(OpenStore::within(open(&url)?, directory))
    }
}
