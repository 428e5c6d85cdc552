//! Circuit breakers, one row a dependency; half open, exactly one caller of the fleet holds the probe.
//!
//! A success or failure of a call that began before the circuit opened arrives late: it closes nothing.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{
    StoreError, Timestamp,
    store::{Admission, BreakerPolicy, BreakerRecord, Breakers},
};

use crate::ledger::both::same;
use crate::{
    FromRow, Row, Sql, SqlStore,
    ledger::{
        both::both,
        entry::{between, micros},
    },
};

/// How long a probe that nobody reported is waited for, in microseconds.
const PROBE_US: i64 = 60_000_000;
/// The longest error text that is kept, in characters.
const ERROR_CHARS: usize = 500;

pub(crate) const SEE: &str = "SELECT state, open_until, probe_until, clock_timestamp() AS now FROM job_breakers \
     WHERE name = $1";
pub(crate) const REGISTER: &str = "INSERT INTO job_breakers (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
/// One row is changed for exactly one caller.
pub(crate) const PROBE: Sql = both!(
    "UPDATE job_breakers SET state = 'half-open', probe_until = clock_timestamp() + $2" us
    " WHERE name = $1 AND state <> 'closed' AND open_until <= clock_timestamp() \
     AND (probe_until IS NULL OR probe_until <= clock_timestamp())"
);
pub(crate) const SUCCEED: &str = "UPDATE job_breakers SET state = 'closed', failures = 0, open_us = 0, \
     open_until = NULL, probe_until = NULL WHERE name = $1 \
     AND (state = 'half-open' OR (state = 'closed' AND failures > 0))";
/// `$1` name, `$2` failures that open, `$3` first time open, `$4` longest, `$5` error.
pub(crate) const FAIL: Sql = both!(
    "INSERT INTO job_breakers (name, state, failures, open_us, open_until, error) \
     VALUES ($1, CASE WHEN $2 <= 1 THEN 'open' ELSE 'closed' END, 1, CASE WHEN $2 <= 1 THEN $3 ELSE 0 END, \
     CASE WHEN $2 <= 1 THEN clock_timestamp() + $3" us " END, $5) \
     ON CONFLICT (name) DO UPDATE SET failures = job_breakers.failures + 1, error = excluded.error, \
     state = CASE WHEN job_breakers.state = 'half-open' \
     OR (job_breakers.state = 'closed' AND job_breakers.failures + 1 >= $2) THEN 'open' ELSE job_breakers.state END, \
     open_us = CASE WHEN job_breakers.state = 'half-open' THEN " least "(job_breakers.open_us * 2, $4) \
     WHEN job_breakers.state = 'closed' AND job_breakers.failures + 1 >= $2 THEN $3 ELSE job_breakers.open_us END, \
     open_until = CASE WHEN job_breakers.state = 'half-open' \
     THEN clock_timestamp() + " least "(job_breakers.open_us * 2, $4)" us
    " WHEN job_breakers.state = 'closed' AND job_breakers.failures + 1 >= $2 THEN clock_timestamp() + $3" us
    " ELSE job_breakers.open_until END, probe_until = NULL"
);
pub(crate) const ALL: &str =
    "SELECT name, state, failures, open_until, error FROM job_breakers ORDER BY name";

pub(crate) const STATEMENTS: &[Sql] = &[same(SEE), same(REGISTER), PROBE, same(SUCCEED), FAIL, same(ALL)];

#[async_trait]
impl Breakers for SqlStore {
    async fn admit(&self, name: &str) -> Result<Admission, StoreError> {
        let db = self.database();
        let seen = db.sql(SEE).bind(name);
        let seen = seen.optional::<(String, Option<Timestamp>, Option<Timestamp>, Timestamp)>().await?;
        let Some((state, open_until, probe_until, now)) = seen else {
            db.sql(REGISTER).bind(name).relaxed().run().await?;
            return Ok(Admission::Go);
        };
        if state == "closed" {
            return Ok(Admission::Go);
        }
        let closed_to = open_until.into_iter().chain(probe_until).max().unwrap_or(now);
        if closed_to > now {
            return Ok(Admission::Wait(between(now, closed_to)));
        }
        match db.sql(PROBE).bind(name).bind(PROBE_US).run().await? {
            1 => Ok(Admission::Probe),
            // Somebody else took it, or closed the circuit: ask again soon.
            _ => Ok(Admission::Wait(Duration::from_secs(1))),
        }
    }

    async fn report(
        &self,
        name: &str,
        policy: BreakerPolicy,
        result: Result<(), String>,
    ) -> Result<(), StoreError> {
        let Err(error) = result else {
            return self.database().sql(SUCCEED).bind(name).relaxed().run().await.map(drop);
        };
        let error: String = error.replace('\0', "\u{FFFD}").chars().take(ERROR_CHARS).collect();
        let longest = micros(policy.open_at_most.max(Duration::from_millis(1)));
        let first = micros(policy.open_for).clamp(1, longest);
        let query = self.database().sql(FAIL).bind(name).bind(policy.failures.max(1));
        query.bind(first).bind(longest).bind(error).relaxed().run().await.map(drop)
    }

    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError> {
        Ok(self.database().sql(ALL).all::<BreakerRow>().await?.into_iter().map(|row| row.0).collect())
    }
}

struct BreakerRow(BreakerRecord);

impl FromRow for BreakerRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self(BreakerRecord {
            name: row.at(0)?,
            state: row.at(1)?,
            failures: row.at(2)?,
            open_until: row.at(3)?,
            error: row.at(4)?,
        }))
    }
}
