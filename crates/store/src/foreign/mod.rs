//! Somebody else's transaction carries our statements: a job is accepted, or finished, exactly when it commits.
//!
//! Each is one statement with one text parameter (JSON), so any library can run it; what cannot implement
//! [`ForeignTx`] (synchronous ones) takes the text from [`enqueue_statement`] and [`finish_statement`].

mod encode;
mod own;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "embedded")]
mod rusqlite;

#[cfg(feature = "diesel")]
mod diesel;
#[cfg(feature = "sea-orm")]
mod sea_orm;
#[cfg(feature = "sqlx")]
mod sqlx;

use async_trait::async_trait;
use backshift_core::{BrokerName, Envelope, JobContext, Lease, StoreError};

#[cfg(feature = "embedded")]
pub use rusqlite::{enqueue_with, finish_with};

use crate::{
    Dialect, Sql,
    ledger::foreign::{ENQUEUE_JSON, FINISH_JSON},
};

/// A transaction of any library, able to run one statement with one text parameter.
#[async_trait]
pub trait ForeignTx: Send {
    /// Which database it is on.
    fn dialect(&self) -> Dialect;

    /// Runs the statement; how many rows it changed or answered.
    async fn execute_one(&mut self, text: &'static str, argument: String) -> Result<u64, StoreError>;
}

/// The statement that accepts jobs, and its argument. `broker` is where they run: the database's own queue
/// ([`BrokerName::POSTGRES`], [`BrokerName::EMBEDDED`]), or a foreign broker, whose relay publishes them after the commit.
pub fn enqueue_statement(broker: BrokerName, jobs: &[Envelope]) -> (Sql, String) {
    (ENQUEUE_JSON, encode::jobs(broker.as_str(), jobs))
}

/// The statement that completes one running job, and its argument. It must change exactly one row: else the lease
/// is over and the transaction has to be rolled back.
pub fn finish_statement(lease: &Lease) -> (Sql, String) {
    (FINISH_JSON, encode::completion(lease, None))
}

/// Accepts jobs inside somebody else's transaction; how many are new. An id that was accepted before adds nothing.
///
/// ```compile_fail
/// # async fn f(tx: &mut backshift_store::Tx, jobs: &[backshift_core::Envelope]) {
/// // A mistyped broker does not compile: nobody would ever run the job.
/// backshift_store::foreign::enqueue_in(tx, "postgress", jobs).await.unwrap();
/// # }
/// ```
///
/// # Errors
/// `Rejected` for the queue of the other database: nobody would look for the job there.
pub async fn enqueue_in(
    tx: &mut impl ForeignTx,
    broker: BrokerName,
    jobs: &[Envelope],
) -> Result<u64, StoreError> {
    belongs(broker, tx.dialect())?;
    if jobs.is_empty() {
        return Ok(0);
    }
    let (sql, argument) = enqueue_statement(broker, jobs);
    tx.execute_one(sql.text(tx.dialect()), argument).await
}

/// The queue of an SQL broker is the ledger of its own database.
fn belongs(broker: BrokerName, dialect: Dialect) -> Result<(), StoreError> {
    let (own, other) = match dialect {
        Dialect::Postgres => (BrokerName::POSTGRES, BrokerName::EMBEDDED),
        Dialect::Sqlite => (BrokerName::EMBEDDED, BrokerName::POSTGRES),
    };
    if broker != other {
        return Ok(());
    }
    let database = dialect.as_str();
    Err(StoreError::Rejected(format!(
        "the transaction is on {database}, and jobs of the broker {broker} are looked for in another database: nobody would run \
         them. Use {own}, or a foreign broker whose outbox this is"
    )))
}

/// Completes the running job inside the handler's own transaction, with the output that it has said so far.
///
/// # Errors
/// `Stale` when another worker holds the job by now: roll the transaction back. `Rejected` without a store.
pub async fn finish_in(tx: &mut impl ForeignTx, job: &JobContext) -> Result<(), StoreError> {
    let lease = job.lease().ok_or_else(|| {
        StoreError::Rejected("finish_in needs a pool with a store: without one there is no lease".into())
    })?;
    complete(tx, encode::completion(&lease, Some(&job.said()))).await?;
    job.finished_in_transaction();
    Ok(())
}

/// [`finish_in`] for code that holds only the lease.
pub async fn finish_lease_in(tx: &mut impl ForeignTx, lease: &Lease) -> Result<(), StoreError> {
    complete(tx, encode::completion(lease, None)).await
}

async fn complete(tx: &mut impl ForeignTx, argument: String) -> Result<(), StoreError> {
    match tx.execute_one(FINISH_JSON.text(tx.dialect()), argument).await? {
        1 => Ok(()),
        _ => Err(StoreError::Stale),
    }
}
