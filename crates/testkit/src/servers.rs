//! Real servers for tests: where they are, and a private corner of each.
//!
//! A missing server skips the test with a printed reason, and fails it when `BACKSHIFT_REQUIRE=all` is set. A
//! [`TestDatabase`] is dropped with its value: keep it alive as long as anything uses its URL.

use std::fmt;

use backshift_core::QueueName;
use url::Url;
use uuid::Uuid;

/// The server's address from `BACKSHIFT_TEST_<NAME>`, such as `POSTGRES_URL`; `None` = skip the test, the reason
/// is printed.
///
/// # Panics
/// When the variable is missing although `BACKSHIFT_REQUIRE=all` says that every server must be there.
pub fn require(name: &str) -> Option<String> {
    let variable = format!("BACKSHIFT_TEST_{name}");
    let found = std::env::var(&variable).ok().filter(|value| !value.is_empty());
    if found.is_none() {
        let reason = format!("{variable} is not set: run `cargo xtask services up`");
        let must = std::env::var("BACKSHIFT_REQUIRE").is_ok_and(|value| value == "all");
        assert!(!must, "{reason} (BACKSHIFT_REQUIRE=all forbids skipping)");
        eprintln!("skipped: {reason}");
    }
    found
}

/// A name that no other test uses: `prefix-<16 hex digits>`.
pub fn unique_name(prefix: &str) -> String {
    // The end of a UUIDv7 is random, its beginning is the time.
    let random = Uuid::now_v7().simple().to_string();
    format!("{prefix}-{}", &random[16..])
}

/// A queue that no other test uses.
///
/// # Panics
/// When the prefix is not legal in a queue's name.
pub fn unique_queue(prefix: &str) -> QueueName {
    QueueName::new(unique_name(prefix)).expect("prefix and hex digits are a legal name")
}

/// A PostgreSQL database of one test, dropped with this value (connections to it are ended).
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
    /// When `door` is no URL.
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
        // A thread of its own, because this may run inside a runtime, which must not block on another.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(execute(&server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")))
        });
        match dropped.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("test database {} stays behind: {error}", self.name),
            Err(_) => eprintln!("test database {} stays behind", self.name),
        }
    }
}

async fn execute(server: &Url, statement: &str) -> std::io::Result<()> {
    let (client, connection) = tokio_postgres::connect(server.as_str(), tokio_postgres::NoTls)
        .await
        .map_err(std::io::Error::other)?;
    let connection = tokio::spawn(connection);
    let done = client.batch_execute(statement).await.map_err(std::io::Error::other);
    drop(client);
    connection.abort();
    done
}
