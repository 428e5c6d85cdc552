//! Reads what a run left in its database: effects, starts, states.
//!
//! It uses connections of its own and plain SQL, so that a bug in the store cannot hide itself.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use backshift_core::JobId;

use super::{Facts, Site, Starts};

/// Effects of the probe kind: id and number of rows.
pub const PROBE_EFFECTS: &str = "SELECT job_id, count(*) FROM backshift_probe_effects GROUP BY job_id";

/// Where to look.
#[derive(Debug, Clone)]
pub struct Evidence {
    store: String,
    queue: String,
    effects: String,
}

impl Evidence {
    /// In this site's store; `effects` is a `SELECT` of two columns, job id and number of effects.
    pub fn new(site: &Site, effects: &str) -> Self {
        Self { store: site.store.clone(), queue: site.queue.clone(), effects: effects.to_owned() }
    }

    /// How many effects there are.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn count_effects(&self) -> io::Result<u64> {
        self.number(format!("WITH e(id, n) AS ({}) SELECT coalesce(sum(n), 0) FROM e", self.effects)).await
    }

    /// How many jobs of the run have not ended.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn count_open(&self) -> io::Result<u64> {
        let queue = &self.queue;
        self.number(format!(
            "SELECT count(*) FROM background_jobs WHERE queue = '{queue}' AND status NOT IN \
             ('completed', 'dead', 'cancelled')"
        ))
        .await
    }

    /// When the last attempt of the probes with this key began, by the database's clock.
    ///
    /// # Errors
    /// The database does not answer, or there is none.
    pub async fn last_start(&self, key: &str) -> io::Result<SystemTime> {
        let micros = match self.is_sqlite() {
            true => "max(started_at)",
            false => "extract(epoch FROM max(started_at)) * 1000000",
        };
        let sql = format!("SELECT {micros} FROM backshift_probe_attempts WHERE key = '{key}'");
        Ok(SystemTime::UNIX_EPOCH + Duration::from_micros(self.number(sql).await?))
    }

    /// A single number.
    ///
    /// # Errors
    /// The database does not answer, or answers something else.
    pub async fn number(&self, sql: String) -> io::Result<u64> {
        let rows = self.rows(format!("WITH s(n) AS ({sql}) SELECT '', n, 0 FROM s")).await?;
        let first = rows.first().ok_or_else(|| io::Error::other("no row"))?;
        Ok(u64::try_from(first.1).unwrap_or(0))
    }

    /// Everything that the database knows; what was accepted and what stands in queues is not its business.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn facts(&self) -> io::Result<Facts> {
        let queue = &self.queue;
        let effects =
            self.rows(format!("WITH e(id, n) AS ({}) SELECT id, n, 0 FROM e", self.effects)).await?;
        // The token counts the starts.
        let starts =
            format!("SELECT id, token, attempts FROM background_jobs WHERE queue = '{queue}' AND token > 0");
        let mut facts = Facts { effects: by_id(effects, |n, _| n), ..Facts::default() };
        facts.starts = by_id(self.rows(starts).await?, |starts, attempt| Starts {
            starts,
            attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
        });
        for state in ["scheduled", "available", "running", "retrying", "completed", "dead", "cancelled"] {
            let rows = format!(
                "SELECT id, 0, 0 FROM background_jobs WHERE queue = '{queue}' AND status = '{state}'"
            );
            facts.states.extend(by_id(self.rows(rows).await?, |_, _| state.to_owned()));
        }
        facts.outbox = self
            .number(format!(
                "SELECT count(*) FROM background_jobs WHERE queue = '{queue}' AND published_at IS NULL \
                 AND broker NOT IN ('postgres', 'embedded') AND status IN ('scheduled', 'available', 'retrying')"
            ))
            .await?;
        Ok(facts)
    }

    fn is_sqlite(&self) -> bool {
        self.store.starts_with("sqlite:")
    }

    /// Rows of an id and two numbers.
    async fn rows(&self, sql: String) -> io::Result<Vec<(String, i64, i64)>> {
        let sql = format!(
            "WITH r(a, b, c) AS ({sql}) SELECT CAST(a AS text), CAST(b AS bigint), CAST(c AS bigint) FROM r"
        );
        match self.store.strip_prefix("sqlite:") {
            Some(path) => of_sqlite(path.into(), sql).await,
            None => of_postgres(&self.store, &sql).await,
        }
    }
}

fn by_id<T>(rows: Vec<(String, i64, i64)>, value: impl Fn(u64, u64) -> T) -> HashMap<JobId, T> {
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    rows.into_iter().filter_map(|(id, a, b)| Some((id.parse().ok()?, value(number(a), number(b))))).collect()
}

async fn of_postgres(url: &str, sql: &str) -> io::Result<Vec<(String, i64, i64)>> {
    let (client, connection) =
        tokio_postgres::connect(url, tokio_postgres::NoTls).await.map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let rows = client.query(sql, &[]).await.map_err(io::Error::other);
    connection.abort();
    Ok(rows?.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

async fn of_sqlite(path: PathBuf, sql: String) -> io::Result<Vec<(String, i64, i64)>> {
    let reading = move || -> rusqlite::Result<_> {
        let file = rusqlite::Connection::open(path)?;
        file.busy_timeout(Duration::from_secs(10))?;
        let mut statement = file.prepare(&sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect()
    };
    tokio::task::spawn_blocking(reading).await.map_err(io::Error::other)?.map_err(io::Error::other)
}
