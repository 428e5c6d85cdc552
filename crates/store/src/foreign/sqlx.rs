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
        let done = sqlx::query(text).bind(argument).execute(self).await.map_err(|e| failed(&e))?;
        Ok(done.rows_affected())
    }
}

#[async_trait]
impl ForeignTx for SqliteConnection {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn execute_one(&mut self, text: &'static str, argument: String) -> Result<u64, StoreError> {
        let done = sqlx::query(text).bind(argument).execute(self).await.map_err(|e| failed(&e))?;
        Ok(done.rows_affected())
    }
}

fn failed(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(server) => {
            let text = format!("sqlx: {}", server.message());
            match server.code() {
                // Five characters are a SQLSTATE, fewer are SQLite's number.
                Some(code) if code.len() == 5 => postgres::by_code(&code, server.constraint(), text),
                Some(code) => sqlite::by_code(code.parse().unwrap_or_default(), text),
                None => StoreError::Rejected(text),
            }
        }
        other => StoreError::Unavailable(format!("sqlx: {other}")),
    }
}
