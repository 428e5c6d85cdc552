//! An interactive transaction on the writer thread.
//!
//! It holds the only writer: a write through the `Database` by the same task would wait for itself, so its time
//! is bounded and the error names that cause.

use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    time::Duration,
};

use backshift_core::StoreError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{statement, writer::Step};
use crate::{Row, query::Statement};

/// An open transaction on SQLite.
#[derive(Debug)]
pub struct SqliteTx {
    steps: Sender<Step>,
    limit: Duration,
    failed: AtomicBool,
}

impl SqliteTx {
    pub(super) fn new(steps: Sender<Step>, limit: Duration) -> Self {
        Self { steps, limit, failed: AtomicBool::new(false) }
    }

    /// Runs a closure inside the transaction, on the writer thread.
    pub async fn with<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let step = Step::Run(Box::new(move |connection| {
            if !connection.is_autocommit() {
                let _ = reply.send(work(connection));
            }
        }));
        let outcome = match self.steps.send(step) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(self.over())),
            Err(_) => Err(self.over()),
        };
        if outcome.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        outcome
    }

    pub(crate) async fn execute(&self, statement: Statement) -> Result<(Vec<Row>, u64), StoreError> {
        self.with(move |connection| statement::execute(connection, &statement)).await
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(StoreError::Rejected(
                "the transaction was not committed because one of its statements had failed".into(),
            ));
        }
        let (reply, answer) = oneshot::channel();
        self.steps.send(Step::Commit(reply)).map_err(|_| self.over())?;
        answer.await.unwrap_or_else(|_| Err(self.over()))
    }

    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        // The writer rolls back as soon as nobody can send a further step.
        Ok(())
    }

    fn over(&self) -> StoreError {
        StoreError::Unavailable(format!(
            "the SQLite transaction was rolled back: it was open for more than {:?}, or the disk is full. It holds \
             the only writer, so a write through the database by the same task waits for itself: write through the \
             transaction, and call nothing slow inside it",
            self.limit
        ))
    }
}
