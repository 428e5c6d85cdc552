//! A private corner of the shared PostgreSQL: one database for one test.
//!
//! It is dropped after its value: keep it alive as long as anything uses its URL.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio_postgres::SimpleQueryMessage;
use url::Url;
use uuid::Uuid;

use super::require;
use crate::reaper;

/// How long a server may take to drop one database.
const CLEARED: Duration = Duration::from_secs(30);
/// A database so old was left by a program that was killed, or ended before the reaper came to it.
const LEFT_BEHIND: Duration = Duration::from_secs(2 * 3600);

/// A PostgreSQL database of one test, dropped some time after this value (connections to it are ended then).
pub struct TestDatabase {
    server: Url,
    name: String,
}

impl TestDatabase {
    /// Makes an empty database on the server of `require("POSTGRES_URL")`; `None` = skip the test.
    pub async fn create() -> Option<Self> {
        Some(Self::create_on(&require("POSTGRES_URL")?).await)
    }

    /// Makes an empty database on this server.
    ///
    /// # Panics
    /// When the server cannot be reached or refuses: a test cannot go on then.
    pub async fn create_on(server: &str) -> Self {
        Self::create_like(server, "template0").await
    }

    /// Makes a copy of another database that nobody is connected to: much faster than to migrate once more.
    ///
    /// # Panics
    /// When the server cannot be reached or refuses.
    pub async fn create_like(server: &str, template: &str) -> Self {
        let server = Url::parse(server).expect("the server's address is a URL");
        let name = format!("bs_{}", Uuid::now_v7().simple());
        let statement = format!("CREATE DATABASE {name} TEMPLATE {template}");
        execute(&server, &statement).await.expect("the test database is made");
        Self { server, name }
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The database's address on the server that it was made on.
    pub fn url(&self) -> String {
        self.url_at(self.server.as_str())
    }

    /// The database's address through another door to the same server, such as PgBouncer.
    ///
    /// # Panics
    /// When `door` is not a URL.
    pub fn url_at(&self, door: &str) -> String {
        let mut url = Url::parse(door).expect("the address is a URL");
        url.set_path(&self.name);
        url.into()
    }
}

impl fmt::Debug for TestDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestDatabase").field(&self.name).finish()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        reaper::later(format!("test database {name}"), move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                within(execute(&server, &statement)).await?;
                sweep_once(&server).await
            })
        });
    }
}

/// Drops what earlier programs left behind, once in the life of this one.
async fn sweep_once(server: &Url) -> std::io::Result<()> {
    if !is_first_time(server) {
        return Ok(());
    }
    let names =
        within(execute(server, "SELECT datname FROM pg_database WHERE datname LIKE 'bs\\_%'")).await?;
    for name in names.iter().filter(|name| is_left_behind(name, SystemTime::now())) {
        // Not by force: one that somebody uses is not left behind.
        let _ = within(execute(server, &format!("DROP DATABASE IF EXISTS {name}"))).await;
    }
    Ok(())
}

fn is_first_time(server: &Url) -> bool {
    static SWEPT: Mutex<Vec<Url>> = Mutex::new(Vec::new());
    let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let first = !swept.contains(server);
    if first {
        swept.push(server.clone());
    }
    first
}

/// Whether a database was made so long ago that its test is over: its name is a UUID that begins with the time.
fn is_left_behind(name: &str, now: SystemTime) -> bool {
    let made =
        name.strip_prefix("bs_").and_then(|id| Uuid::try_parse(id).ok()).and_then(|id| id.get_timestamp());
    let age = made.and_then(|made| {
        let (seconds, nanos) = made.to_unix();
        now.duration_since(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)).ok()
    });
    age.is_some_and(|age| age > LEFT_BEHIND)
}

async fn within<T>(work: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    tokio::time::timeout(CLEARED, work).await.unwrap_or_else(|late| Err(std::io::Error::other(late)))
}

/// Runs a statement; the first column of what it answers.
async fn execute(server: &Url, statement: &str) -> std::io::Result<Vec<String>> {
    let (client, connection) = tokio_postgres::connect(server.as_str(), tokio_postgres::NoTls)
        .await
        .map_err(std::io::Error::other)?;
    let connection = tokio::spawn(connection);
    let done = client.simple_query(statement).await.map_err(std::io::Error::other);
    drop(client);
    connection.abort();
    let first = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    Ok(done?.into_iter().filter_map(first).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_old_and_ours_is_left_behind() {
        let name = format!("bs_{}", Uuid::now_v7().simple());
        assert!(!is_left_behind(&name, SystemTime::now()));
        assert!(is_left_behind(&name, SystemTime::now() + LEFT_BEHIND + Duration::from_secs(60)));
        let later = SystemTime::now() + 10 * LEFT_BEHIND;
        for other in ["postgres", "bs_live", "shop", "bs_00000000000040008000000000000000"] {
            assert!(!is_left_behind(other, later), "{other}");
        }
    }
}
