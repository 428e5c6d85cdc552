//! A transaction of tokio-postgres, also one of deadpool-postgres.

use async_trait::async_trait;
use backshift_core::StoreError;
use tokio_postgres::{Transaction, types::Type};

use super::ForeignTx;
use crate::{Dialect, postgres::store_error};

#[async_trait]
impl ForeignTx for Transaction<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn execute_one(&mut self, text: &'static str, argument: String) -> Result<u64, StoreError> {
        self.execute_typed(text, &[(&argument, Type::TEXT)]).await.map_err(|e| store_error(&e))
    }
}

#[async_trait]
impl ForeignTx for deadpool_postgres::Transaction<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn execute_one(&mut self, text: &'static str, argument: String) -> Result<u64, StoreError> {
        self.execute_typed(text, &[(&argument, Type::TEXT)]).await.map_err(|e| store_error(&e))
    }
}
