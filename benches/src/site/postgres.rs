//! A database for each arm of the PostgreSQL benches, made anew at its start and dropped by the next run.
//!
//! Every arm works on the same server, so its settings are the same for all: `settings` says them.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio_postgres::{Client, NoTls};
use url::Url;

use crate::harness::Server;

/// The payload's size.
pub(crate) const PAYLOAD: usize = 150;

/// One arm's database.
pub(crate) struct PgSite {
    pub(crate) url: String,
    /// For filling and counting, outside of what is measured.
    pub(crate) admin: Client,
    pub(crate) server: Server,
    settings: String,
}

impl PgSite {
    /// Makes the database `backshift_bench_<name>`.
    pub(crate) async fn make(name: &str) -> Result<Self> {
        let text = std::env::var("BACKSHIFT_TEST_POSTGRES_URL")
            .context("BACKSHIFT_TEST_POSTGRES_URL names no server: run the bench by `cargo xtask bench`")?;
        let mut url = Url::parse(&text)?;
        let server = Server::listening_on(url.port().unwrap_or(5432));
        let database = format!("backshift_bench_{name}");
        let root = connect(&text).await?;
        root.batch_execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await?;
        root.batch_execute(&format!("CREATE DATABASE {database}")).await?;
        url.set_path(&database);
        let admin = connect(url.as_str()).await?;
        let settings = settings(&admin).await?;
        Ok(Self { url: url.into(), admin, server, settings })
    }

    /// Server version and the settings that decide about speed.
    pub(crate) fn settings(&self) -> &str {
        &self.settings
    }

    /// One number of the database.
    pub(crate) async fn count(&self, sql: &str) -> Result<u64> {
        let row = self.admin.query_one(sql, &[]).await?;
        Ok(u64::try_from(row.get::<_, i64>(0))?)
    }
}

/// A connection with its driver in the background.
pub(crate) async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            eprintln!("a connection to PostgreSQL ended: {error}");
        }
    });
    Ok(client)
}

async fn settings(client: &Client) -> Result<String> {
    let sql = "SELECT 'PostgreSQL ' || current_setting('server_version') || ', fsync ' || current_setting('fsync') \
               || ', shared_buffers ' || current_setting('shared_buffers')";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// SQL of the payload of job `i`: the one of [`crate::harness::Seen::payload`].
pub(crate) fn payload_sql() -> String {
    format!("convert_to(rpad('{{\"n\":' || i || ',\"pad\":\"', {}, 'x') || '\"}}', 'UTF8')", PAYLOAD - 2)
}

/// SQL of a UUID of version 7 for job `i`: ascending, as generated ones are.
pub(crate) const ID_SQL: &str = "(lpad(to_hex(1790000000000 + i / 4096), 12, '0') || '7' || lpad(to_hex(i % 4096), 3, '0') \
     || '8' || substr(md5(i::text), 1, 15))::uuid";

/// The pause before sample `n` of a latency: 5 to 8 ms, the same in every run.
pub(crate) fn pause(n: usize) -> Duration {
    Duration::from_micros(5000 + (n as u64).wrapping_mul(2_654_435_761) % 3000)
}

/// A percentile (0.5, 0.99) in milliseconds.
pub(crate) fn figure(taken: &mut [Duration], percentile: f64) -> f64 {
    taken.sort_unstable();
    let at = (taken.len() as f64 * percentile) as usize;
    taken.get(at).or(taken.last()).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

/// A session that sees the database as it is now, until it is dropped.
pub(crate) async fn pin(site: &PgSite) -> Result<Client> {
    let other = connect(&site.url).await?;
    other.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT txid_current()").await?;
    Ok(other)
}
