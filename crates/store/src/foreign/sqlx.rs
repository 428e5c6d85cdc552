//! Transactions of sqlx (`&mut tx`), and connections inside one.

use async_trait::async_trait;
use backshift_core::StoreError;
use sqlx::{PgConnection, Postgres, Sqlite, SqliteConnection, Transaction};

use super::ForeignTx;
use crate::{Dialect, postgres, sqlite};

#[async_trait]
impl ForeignTx for Transaction<'_, Postgres> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn execute_one(&mut self, text: &'static str, argument: String) -> Result<u64, StoreError> {
        let connection: &mut PgConnection = self;
        connection.execute_one(text, argument).await
    }
}

#[async_trait]
impl ForeignTx for Transaction<'_, Sqlite> {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn execute_one(&mut self, text: &'static str, argument: String) -> Result<u64, StoreError> {
        let connection: &mut SqliteConnection = self;
        connection.execute_one(text, argument).await
    }
}

#[async_trait]
impl ForeignTx for PgConnection {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn execute_one(&mut self, text: &'static str, argument: String) -> Result<u64, StoreError> {
        let done = sqlx::query(text).bind(argument).execute(self).await.map_err(|e| failed("sqlx", &e))?;
        Ok(done.rows_affected())
    }
}

#[async_trait]
impl ForeignTx for SqliteConnection {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn execute_one(&mut self, text: &'static str, argument: String) -> Result<u64, StoreError> {
        let done = sqlx::query(text).bind(argument).execute(self).await.map_err(|e| failed("sqlx", &e))?;
        Ok(done.rows_affected())
    }
}

/// What an error of sqlx means, and of SeaORM, which stands on it.
pub(super) fn failed(library: &str, error: &sqlx::Error) -> StoreError {
    let sqlx::Error::Database(server) = error else {
        return StoreError::Unavailable(format!("{library}: {error}"));
    };
    match server.code() {
        // Five characters are a SQLSTATE, fewer are SQLite's number.
        Some(code) if code.len() == 5 => {
            postgres::by_code(&code, server.constraint(), format!("{library}: {}", server.message()))
        }
        // SQLite's own words say what is wrong, so whose they are is put in afterwards.
        Some(code) => {
            said_by(library, sqlite::by_code(code.parse().unwrap_or_default(), server.message().into()))
        }
        None => StoreError::Rejected(format!("{library}: {}", server.message())),
    }
}

fn said_by(library: &str, error: StoreError) -> StoreError {
    let said = |text: String| format!("{library}: {text}");
    match error {
        StoreError::Taken { rule, text } => StoreError::Taken { rule, text: said(text) },
        StoreError::Unavailable(text) => StoreError::Unavailable(said(text)),
        StoreError::Rejected(text) => StoreError::Rejected(said(text)),
        StoreError::Unusable(text) => StoreError::Unusable(said(text)),
        StoreError::Schema(text) => StoreError::Schema(said(text)),
        other @ (StoreError::Stale | StoreError::NotFound(_)) => other,
    }
}
