//! Allowances and places that the whole fleet shares.
//!
//! An allowance is one row that is moved forward by one atomic statement (GCRA). A place counts as long as its
//! job runs under its token and lease: a killed worker frees its places without being asked.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{
    Lease, StoreError,
    store::{Limits, Rate},
};

use crate::ledger::both::same;
use crate::{
    Database, Durability, Sql, SqlStore,
    ledger::{both::both, taken::holds},
};

/// `$1` key, `$2` the share of one, `$3` the whole period; no row = not now.
pub(crate) const RESERVE: Sql = both!(
    "INSERT INTO job_limits (key, tat) VALUES ($1, clock_timestamp() + $2" us ") ON CONFLICT (key) DO UPDATE \
     SET tat = " greatest "(job_limits.tat, clock_timestamp()) + $2" us
    " WHERE " greatest "(job_limits.tat, clock_timestamp()) + $2" us " <= clock_timestamp() + $3" us
    " RETURNING tat"
);
/// When the next one may go: `$2` and `$3` as above.
pub(crate) const NEXT: Sql = both!(
    "SELECT tat + $2" us " - $3" us " AS free_at, clock_timestamp() AS now FROM job_limits WHERE key = $1"
);

/// One at a time decides about the places of a key. Every schema has its own.
pub(crate) const LOCK: &str = "SELECT 1 FROM (SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.places:' || $1, 0))) locked";

/// `$1` key, `$2` job, `$3` token, `$4` places.
pub(crate) const OCCUPY: Sql = Sql {
    pg: concat!(
        "INSERT INTO job_slots (key, job_id, token) SELECT $1, $2, $3 \
         WHERE (SELECT COUNT(*) FROM job_slots s JOIN background_jobs j ON j.id = s.job_id AND ",
        holds!("j", "s.token"),
        " WHERE s.key = $1 AND s.job_id <> $2 AND (j.status <> 'running' OR j.lease_until > clock_timestamp())) < $4 \
         ON CONFLICT (key, job_id) DO UPDATE SET token = excluded.token"
    ),
    sqlite: "INSERT INTO job_slots (key, job_id, token) SELECT $1, $2, $3 \
             WHERE (SELECT COUNT(*) FROM job_slots s JOIN background_jobs j ON j.id = s.job_id AND j.token = s.token \
             WHERE s.key = $1 AND s.job_id <> $2 AND j.status = 'running' AND j.lease_until > clock_timestamp()) < $4 \
             ON CONFLICT (key, job_id) DO UPDATE SET token = excluded.token",
};
pub(crate) const VACATE: &str = "DELETE FROM job_slots WHERE key = $1 AND job_id = $2 AND token = $3";

pub(crate) const STATEMENTS: &[Sql] =
    &[RESERVE, NEXT, Sql { pg: LOCK, sqlite: "SELECT 1" }, OCCUPY, same(VACATE)];

#[async_trait]
impl Limits for SqlStore {
    async fn reserve(&self, key: &str, rate: Rate) -> Result<Option<Duration>, StoreError> {
        if rate.count == 0 || rate.per.is_zero() {
            return Err(StoreError::Rejected(format!(
                "the rate limit {key:?} allows {} in {:?}: both must be above zero",
                rate.count, rate.per
            )));
        }
        self.allowances.reserve(self.database(), key, rate).await
    }

    async fn occupy(&self, key: &str, slots: u32, lease: &Lease) -> Result<bool, StoreError> {
        let tx = self.database().begin_with(Durability::Relaxed).await?;
        if let Database::Pg(_) = self.database() {
            tx.sql(LOCK).bind(key).all::<()>().await?;
        }
        let query = tx.sql(OCCUPY).bind(key).bind(lease.job).bind(lease.token).bind(slots);
        let taken = query.run().await? == 1;
        tx.commit().await?;
        Ok(taken)
    }

    async fn vacate(&self, key: &str, lease: &Lease) -> Result<(), StoreError> {
        let query = self.database().sql(VACATE).bind(key).bind(lease.job).bind(lease.token);
        query.relaxed().run().await.map(drop)
    }
}
