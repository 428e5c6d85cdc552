//! A transaction of SeaORM.

use async_trait::async_trait;
use backshift_core::StoreError;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, RuntimeErr, Statement};

use super::{ForeignTx, sqlx};
use crate::Dialect;

#[async_trait]
impl ForeignTx for DatabaseTransaction {
    fn dialect(&self) -> Dialect {
        match self.get_database_backend() {
            DbBackend::Sqlite => Dialect::Sqlite,
            _ => Dialect::Postgres,
        }
    }

    async fn execute_one(&mut self, text: &'static str, argument: String) -> Result<u64, StoreError> {
        let statement = Statement::from_sql_and_values(self.get_database_backend(), text, [argument.into()]);
        let done = self.execute_raw(statement).await.map_err(|e| failed(&e))?;
        Ok(done.rows_affected())
    }
}

fn failed(error: &DbErr) -> StoreError {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause)) => {
            sqlx::failed("SeaORM", cause)
        }
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => StoreError::Unavailable(format!("SeaORM: {error}")),
        _ => StoreError::Rejected(format!("SeaORM: {error}")),
    }
}
