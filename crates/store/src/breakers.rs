//! Circuit breakers, one row a dependency; half open, exactly one caller of the fleet holds the probe.
//!
//! A success or failure of a call that began before the circuit opened arrives late: it closes nothing.
//!
//! After a probe that succeeded a circuit *returns*: an interval lets 2 calls through, the next one 4, and so on while
//! calls succeed, so that a backlog does not fall upon a dependency that has just come back.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{
    StoreError, Timestamp,
    store::{Admission, BreakerPolicy, BreakerRecord, Breakers},
};
use uuid::Uuid;

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
/// The length of an interval of the return, in microseconds.
const INTERVAL_US: i64 = 1_000_000;
/// The widest step; after it the circuit is closed.
const WIDEST: i64 = 64;
/// The longest error text that is kept, in characters.
const ERROR_CHARS: usize = 500;

pub(crate) const SEE: &str = "SELECT state, open_until, probe_until, clock_timestamp() AS now, step, step_until \
     FROM job_breakers WHERE name = $1";
pub(crate) const REGISTER: &str = "INSERT INTO job_breakers (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
/// One row is changed for exactly one caller.
pub(crate) const PROBE: Sql = both!(
    "UPDATE job_breakers SET state = 'half-open', probe_until = clock_timestamp() + $2" us
    " WHERE name = $1 AND state <> 'closed' AND open_until <= clock_timestamp() \
     AND (probe_until IS NULL OR probe_until <= clock_timestamp())"
);
/// One more of the calls that an interval lets through, or the first one of the next interval. That one begins when a
/// call of the last one has succeeded, or none has told anything for `$3`. `$2`: an interval.
pub(crate) const STEP: Sql = both!(
    "UPDATE job_breakers SET admitted = CASE WHEN step_until <= clock_timestamp() THEN 1 ELSE admitted + 1 END, \
     step = CASE WHEN step_until <= clock_timestamp() AND succeeded > 0 THEN step * 2 ELSE step END, \
     succeeded = CASE WHEN step_until <= clock_timestamp() THEN 0 ELSE succeeded END, \
     step_until = CASE WHEN step_until <= clock_timestamp() THEN clock_timestamp() + $2" us " ELSE step_until END \
     WHERE name = $1 AND state = 'returning' AND ((step_until > clock_timestamp() AND admitted < step) \
     OR (step_until <= clock_timestamp() AND (succeeded > 0 OR step_until <= clock_timestamp() - $3" us ")))"
);
/// The widest step is over, and calls succeeded.
pub(crate) const CLOSE: &str = "UPDATE job_breakers SET state = 'closed', failures = 0, open_us = 0, step = 0 \
     WHERE name = $1 AND state = 'returning' AND step >= $2 AND succeeded > 0 AND step_until <= clock_timestamp()";
/// `$2`: an interval. A probe that succeeded begins the return.
pub(crate) const SUCCEED: Sql = both!(
    "UPDATE job_breakers SET state = CASE WHEN state = 'half-open' THEN 'returning' ELSE state END, \
     failures = CASE WHEN state = 'closed' THEN 0 ELSE failures END, \
     step = CASE WHEN state = 'half-open' THEN 2 ELSE step END, \
     step_until = CASE WHEN state = 'half-open' THEN clock_timestamp() + $2" us " ELSE step_until END, \
     admitted = CASE WHEN state = 'half-open' THEN 0 ELSE admitted END, \
     succeeded = CASE WHEN state = 'half-open' THEN 1 ELSE succeeded + 1 END, \
     open_until = NULL, probe_until = NULL WHERE name = $1 \
     AND (state IN ('half-open', 'returning') OR (state = 'closed' AND failures > 0))"
);
/// `$1` name, `$2` failures that open, `$3` first time open, `$4` longest, `$5` error.
pub(crate) const FAIL: Sql = both!(
    "INSERT INTO job_breakers (name, state, failures, open_us, open_until, error, opened_at) \
     VALUES ($1, CASE WHEN $2 <= 1 THEN 'open' ELSE 'closed' END, 1, CASE WHEN $2 <= 1 THEN $3 ELSE 0 END, \
     CASE WHEN $2 <= 1 THEN clock_timestamp() + $3" us " END, $5, clock_timestamp()) \
     ON CONFLICT (name) DO UPDATE SET failures = job_breakers.failures + 1, error = excluded.error, \
     opened_at = CASE WHEN job_breakers.state = 'closed' THEN clock_timestamp() ELSE job_breakers.opened_at END, \
     state = CASE WHEN job_breakers.state IN ('half-open', 'returning') \
     OR (job_breakers.state = 'closed' AND job_breakers.failures + 1 >= $2) THEN 'open' ELSE job_breakers.state END, \
     open_us = CASE WHEN job_breakers.state IN ('half-open', 'returning') THEN " least "(job_breakers.open_us * 2, $4) \
     WHEN job_breakers.state = 'closed' AND job_breakers.failures + 1 >= $2 THEN $3 ELSE job_breakers.open_us END, \
     open_until = CASE WHEN job_breakers.state IN ('half-open', 'returning') \
     THEN clock_timestamp() + " least "(job_breakers.open_us * 2, $4)" us
    " WHEN job_breakers.state = 'closed' AND job_breakers.failures + 1 >= $2 THEN clock_timestamp() + $3" us
    " ELSE job_breakers.open_until END, probe_until = NULL"
);
pub(crate) const ALL: &str =
    "SELECT name, state, failures, open_until, error, step, opened_at FROM job_breakers ORDER BY name";

pub(crate) const STATEMENTS: &[Sql] =
    &[same(SEE), same(REGISTER), PROBE, STEP, same(CLOSE), SUCCEED, FAIL, same(ALL)];

#[async_trait]
impl Breakers for SqlStore {
    async fn admit(&self, name: &str) -> Result<Admission, StoreError> {
        let db = self.database();
        let seen = db.sql(SEE).bind(name);
        let Some(seen) = seen.optional::<Seen>().await? else {
            db.sql(REGISTER).bind(name).relaxed().run().await?;
            return Ok(Admission::Go);
        };
        let (state, open_until, probe_until, now, step, step_until) = seen;
        match state.as_str() {
            "closed" => return Ok(Admission::Go),
            "returning" => return self.step(name, step, between(now, step_until.unwrap_or(now))).await,
            _ => {}
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
            return self.database().sql(SUCCEED).bind(name).bind(INTERVAL_US).relaxed().run().await.map(drop);
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

type Seen = (String, Option<Timestamp>, Option<Timestamp>, Timestamp, i64, Option<Timestamp>);

impl SqlStore {
    /// One call of a circuit that returns; `left` of this interval.
    async fn step(&self, name: &str, step: i64, left: Duration) -> Result<Admission, StoreError> {
        let db = self.database();
        if step >= WIDEST && left.is_zero() && db.sql(CLOSE).bind(name).bind(WIDEST).run().await? == 1 {
            return Ok(Admission::Go);
        }
        if db.sql(STEP).bind(name).bind(INTERVAL_US).bind(PROBE_US).run().await? == 1 {
            return Ok(Admission::Probe);
        }
        // Spread over the steps that are left: else the whole backlog would ask again in every interval.
        let steps = (WIDEST / step.max(1)).max(1).ilog2() + 1;
        let some = Uuid::now_v7().as_u64_pair().1 as u32 % steps;
        let interval = Duration::from_micros(INTERVAL_US.unsigned_abs());
        Ok(Admission::Wait(left.max(interval / 10) + interval * some))
    }
}

struct BreakerRow(BreakerRecord);

impl FromRow for BreakerRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let state: String = row.at(1)?;
        let step: u32 = row.at(5)?;
        Ok(Self(BreakerRecord {
            name: row.at(0)?,
            returning: Some(step).filter(|_| state == "returning"),
            since: row.at::<Option<Timestamp>>(6)?.filter(|_| state != "closed"),
            state,
            failures: row.at(2)?,
            open_until: row.at(3)?,
            error: row.at(4)?,
        }))
    }
}
