//! PostgreSQL or SQLite behind one type, chosen by the URL.
//!
//! Opening a PostgreSQL database connects to nothing yet; opening a SQLite database opens (and makes) the file.

use std::{path::PathBuf, time::Duration};

use backshift_core::{StoreError, way::Way};

use crate::{
    Durability, Executor, Query, Sql,
    postgres::{Pg, PgTx},
    query::Target,
    sqlite::{Sqlite, SqliteTx},
};

/// A database. Cheap to clone; every clone shares its connections.
#[derive(Debug, Clone)]
pub enum Database {
    /// A PostgreSQL server.
    Pg(Pg),
    /// A SQLite file.
    Sqlite(Sqlite),
}

/// Which of the two a statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL 13 or newer.
    Postgres,
    /// SQLite.
    Sqlite,
}

impl Dialect {
    /// `postgres` or `sqlite`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        }
    }
}

/// An open transaction; dropped without `commit`, it is rolled back. A statement that failed makes the commit fail.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a transaction lives on one stack for a moment")]
pub enum Tx {
    /// On one connection of the pool.
    Pg(PgTx),
    /// On the writer thread, which serves nobody else meanwhile: keep it short, and write through it only.
    Sqlite(SqliteTx),
}

/// How a database is used. The defaults suit a worker.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the server's administrator sees.
    pub application_name: String,
    /// PostgreSQL connections at most.
    pub connections: usize,
    /// SQLite connections for reading.
    pub readers: usize,
    /// The longest time that one call may take, waiting for a connection included.
    pub deadline: Duration,
    /// How sure every commit is at least: with `Strict` claims and results are synced like accepted jobs.
    pub durability: Durability,
    /// Makes a SQLite file when there is none.
    pub create: bool,
    /// The schema of the tables on PostgreSQL, made by `migrate up`; the role's own search path when not set.
    pub schema: Option<String>,
    /// PEM file of the only authorities that may have signed a PostgreSQL server's certificate; the machine's when not
    /// set. `sslrootcert` in the URL beats it.
    pub ca_file: Option<PathBuf>,
    /// The longest time that a SQLite transaction may stay open, because it holds the only writer.
    pub transaction_limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            application_name: "backshift".into(),
            connections: 10,
            readers: 4,
            deadline: Duration::from_secs(12),
            durability: Durability::Relaxed,
            create: true,
            schema: None,
            ca_file: None,
            transaction_limit: Duration::from_secs(5),
        }
    }
}

/// What the way to the server allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Sessions are our own: LISTEN and session locks work. Otherwise a transaction pooler stands between.
    pub direct: bool,
}

/// The beginnings of the URLs that [`Database::open`] takes.
pub const SCHEMES: [&str; 4] = ["embedded", "sqlite", "postgres", "postgresql"];

impl Database {
    /// Opens `postgres://…`, `sqlite:PATH` or `embedded:PATH`. The directory of PATH must exist.
    ///
    /// # Errors
    /// `Rejected` for a URL that is not understood (its text never holds the password) or a file that is none.
    pub fn open(url: &str, options: &Options) -> Result<Self, StoreError> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("postgres" | "postgresql") => Pg::open(url, options).map(Self::Pg),
            Some("sqlite" | "embedded") => {
                Sqlite::open(&crate::sqlite::path_of(url)?, options).map(Self::Sqlite)
            }
            scheme => Err(StoreError::Rejected(format!(
                "a database URL begins with postgres:, sqlite: or embedded:, not with {:?}",
                scheme.map_or_else(
                    || "no scheme".into(),
                    |s| format!("{}:", s.chars().take(20).collect::<String>())
                )
            ))),
        }
    }

    /// Begins a statement.
    pub fn sql(&self, text: impl Into<Sql>) -> Query<'_> {
        Executor::sql(self, text)
    }

    /// Begins a strict transaction.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.begin_with(Durability::Strict).await
    }

    /// Begins a transaction whose commit is as sure as asked.
    pub async fn begin_with(&self, durability: Durability) -> Result<Tx, StoreError> {
        match self {
            Self::Pg(pg) => pg.begin(durability).await.map(Tx::Pg),
            Self::Sqlite(sqlite) => sqlite.begin(durability).await.map(Tx::Sqlite),
        }
    }

    /// Asks for a sign of life; a file must still be where it was.
    pub async fn ping(&self) -> Result<(), StoreError> {
        if let Self::Sqlite(file) = self {
            file.still_there()?;
        }
        self.sql("SELECT 1").all::<()>().await.map(drop)
    }

    /// Whether session features (LISTEN, session locks) work. Found out once, with two connections.
    pub async fn access(&self) -> Result<Access, StoreError> {
        match self {
            Self::Pg(pg) => pg.access().await,
            Self::Sqlite(_) => Ok(Access { direct: true }),
        }
    }

    /// What is done on the way to each server that may be connected to; none for a file.
    pub fn ways(&self) -> &[Way] {
        match self {
            Self::Pg(pg) => pg.ways(),
            Self::Sqlite(_) => &[],
        }
    }

    /// The SQLite side, for closures on the writer thread.
    pub fn as_sqlite(&self) -> Option<&Sqlite> {
        match self {
            Self::Sqlite(sqlite) => Some(sqlite),
            Self::Pg(_) => None,
        }
    }

    /// The PostgreSQL side.
    pub fn as_pg(&self) -> Option<&Pg> {
        match self {
            Self::Pg(pg) => Some(pg),
            Self::Sqlite(_) => None,
        }
    }

    /// Closes every connection; what was queued before is finished first. Later calls are refused.
    pub async fn close(&self) {
        match self {
            Self::Pg(pg) => pg.close(),
            Self::Sqlite(sqlite) => sqlite.close().await,
        }
    }
}

impl Tx {
    /// Begins a statement inside the transaction.
    pub fn sql(&self, text: impl Into<Sql>) -> Query<'_> {
        Executor::sql(self, text)
    }

    /// Makes it happen. `Unavailable` means unknown: look before a second try.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Pg(tx) => tx.commit().await,
            Self::Sqlite(tx) => tx.commit().await,
        }
    }

    /// Undoes it.
    pub async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Self::Pg(tx) => tx.rollback().await,
            Self::Sqlite(tx) => tx.rollback().await,
        }
    }
}

impl Executor for Database {
    fn dialect(&self) -> Dialect {
        match self {
            Self::Pg(_) => Dialect::Postgres,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    fn target(&self) -> Target<'_> {
        Target::Db(self)
    }
}

impl Executor for Tx {
    fn dialect(&self) -> Dialect {
        match self {
            Self::Pg(_) => Dialect::Postgres,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    fn target(&self) -> Target<'_> {
        Target::Tx(self)
    }
}
