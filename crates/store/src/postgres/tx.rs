//! A transaction that owns its pooled connection.
//!
//! Dropped open, it is rolled back before the connection serves somebody else; a connection that missed a
//! deadline is closed instead.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use backshift_core::StoreError;
use deadpool_postgres::Object;

use super::{
    fault::{Fault, ends_connection, store_error},
    pool::send,
};
use crate::{Row, query::Statement};

/// How long a migration may take.
const SCRIPT_LIMIT: Duration = Duration::from_secs(3600);

/// An open transaction on PostgreSQL.
pub struct PgTx {
    client: Option<Object>,
    deadline: Duration,
    failed: AtomicBool,
    lost: AtomicBool,
}

impl fmt::Debug for PgTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgTx").field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl PgTx {
    pub(super) async fn begin(client: Object, opening: &str, deadline: Duration) -> Result<Self, StoreError> {
        let tx = Self {
            client: Some(client),
            deadline,
            failed: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        };
        tx.batch(opening).await?;
        Ok(tx)
    }

    pub(crate) async fn execute(&self, statement: &Statement) -> Result<(Vec<Row>, u64), StoreError> {
        let client = self.client()?;
        let outcome = tokio::time::timeout(self.deadline, send(client, statement, None)).await;
        self.noted(outcome)
    }

    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(StoreError::Rejected(
                "the transaction was not committed because one of its statements had failed".into(),
            ));
        }
        self.batch("COMMIT").await?;
        self.client = None;
        Ok(())
    }

    pub(crate) async fn rollback(mut self) -> Result<(), StoreError> {
        self.batch("ROLLBACK").await?;
        self.client = None;
        Ok(())
    }

    /// Runs a script of many statements, which may take its time (migrations).
    pub(crate) async fn script(&self, text: &str) -> Result<(), StoreError> {
        self.batch_within(text, SCRIPT_LIMIT).await
    }

    async fn batch(&self, text: &str) -> Result<(), StoreError> {
        self.batch_within(text, self.deadline).await
    }

    async fn batch_within(&self, text: &str, limit: Duration) -> Result<(), StoreError> {
        let client = self.client()?;
        let outcome = tokio::time::timeout(limit, client.batch_execute(text)).await;
        self.noted(outcome)
    }

    fn client(&self) -> Result<&Object, StoreError> {
        match &self.client {
            Some(client) if !self.lost.load(Ordering::Acquire) => Ok(client),
            _ => Err(StoreError::Unavailable("the transaction's connection was closed".into())),
        }
    }

    /// Remembers what an outcome means for the transaction.
    fn noted<T>(
        &self,
        outcome: Result<Result<T, tokio_postgres::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, StoreError> {
        match outcome {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.failed.store(true, Ordering::Release);
                self.lost.fetch_or(ends_connection(&error), Ordering::AcqRel);
                Err(store_error(&error))
            }
            Err(_) => {
                self.failed.store(true, Ordering::Release);
                self.lost.store(true, Ordering::Release);
                Err(Fault::deadline(self.deadline, "a statement of a transaction").error)
            }
        }
    }
}

impl Drop for PgTx {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let runtime = tokio::runtime::Handle::try_current();
        let (Ok(runtime), false) = (runtime, self.lost.load(Ordering::Acquire)) else {
            drop(Object::take(client));
            return;
        };
        let deadline = self.deadline;
        runtime.spawn(async move {
            let undone = tokio::time::timeout(deadline, client.batch_execute("ROLLBACK")).await;
            if !matches!(undone, Ok(Ok(()))) {
                drop(Object::take(client));
            }
        });
    }
}
