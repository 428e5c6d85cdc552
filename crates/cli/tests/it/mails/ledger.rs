//! What the ledger says about every mail, read in one statement: `jobs list` would take pages.

use std::collections::HashMap;

use backshift_testkit::servers::TestDatabase;
use tokio_postgres::NoTls;

/// One job.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) status: String,
    /// Counted failures.
    pub(super) failures: i32,
    /// none, intended, done or ambiguous.
    pub(super) effect: String,
}

impl Row {
    /// It will not change any more.
    pub(super) fn ended(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "dead" | "cancelled")
    }
}

/// Every mail job by its id.
pub(super) async fn rows(database: &TestDatabase) -> HashMap<String, Row> {
    const SELECT: &str =
        "SELECT id::text, status, failures, effect FROM background_jobs WHERE job_type = 'email.send'";
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let rows = client.query(SELECT, &[]).await.unwrap();
    connection.abort();
    let row = |row: &tokio_postgres::Row| {
        (row.get(0), Row { status: row.get(1), failures: row.get(2), effect: row.get(3) })
    };
    rows.iter().map(row).collect()
}
