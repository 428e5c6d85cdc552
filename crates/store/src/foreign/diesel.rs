//! A connection of diesel-async inside a transaction.

use async_trait::async_trait;
use backshift_core::StoreError;
use diesel::{
    result::{DatabaseErrorKind, Error},
    sql_types::Text,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::ForeignTx;
use crate::Dialect;

#[async_trait]
impl ForeignTx for AsyncPgConnection {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn execute_one(&mut self, text: &'static str, argument: String) -> Result<u64, StoreError> {
        let changed = diesel::sql_query(text).bind::<Text, _>(argument).execute(self).await;
        changed.map(|rows| rows as u64).map_err(|e| failed(&e))
    }
}

fn failed(error: &Error) -> StoreError {
    match error {
        Error::DatabaseError(
            DatabaseErrorKind::ClosedConnection
            | DatabaseErrorKind::ReadOnlyTransaction
            | DatabaseErrorKind::SerializationFailure,
            _,
        ) => StoreError::Unavailable(format!("diesel: {error}")),
        Error::DatabaseError(DatabaseErrorKind::UniqueViolation, server) => StoreError::Taken {
            rule: server.constraint_name().unwrap_or_default().to_owned(),
            text: format!("diesel: {error}"),
        },
        _ => StoreError::Rejected(format!("diesel: {error}")),
    }
}
