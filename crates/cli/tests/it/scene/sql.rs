//! A session of the test's own on a PostgreSQL database, and what an administrator can do to it there.

use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

/// A session; it ends, and rolls back what it began, with its value.
pub(crate) struct Session {
    client: Client,
    connection: JoinHandle<()>,
}

impl Session {
    /// A new one.
    pub(crate) async fn open(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        Self { client, connection }
    }

    /// Runs statements; the first column of the last rows.
    pub(crate) async fn run(&self, statements: &str) -> Vec<String> {
        self.tried(statements).await.unwrap_or_else(|error| panic!("{statements}: {error:?}"))
    }

    /// The same where the server may refuse, because others change what is asked for.
    pub(crate) async fn tried(&self, statements: &str) -> Result<Vec<String>, tokio_postgres::Error> {
        let answer = self.client.simple_query(statements).await?;
        let first = |message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        Ok(answer.into_iter().filter_map(first).collect())
    }

    /// Ends every other connection to this database.
    pub(crate) async fn end_the_others(&self) {
        self.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
