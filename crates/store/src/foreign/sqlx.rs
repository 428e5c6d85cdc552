//! Connections of sqlx inside a transaction: pass `&mut *tx`.

use async_trait::async_trait;
use backshift_core::StoreError;
use sqlx::{PgConnection, SqliteConnection};

use super::ForeignTx;
use crate::Dialect;

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
        sqlx::Error::Database(server) => StoreError::Rejected(format!("sqlx: {}", server.message())),
        other => StoreError::Unavailable(format!("sqlx: {other}")),
    }
}
