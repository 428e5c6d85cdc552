//! The end of what is known about people's hands: deeds and sweeps that are old enough, in bites.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{StoreError, Timestamp, store::Retention};

use crate::{Database, Sql, ledger::both::same};

/// `$1` older than this, `$2` at most.
pub(crate) const OLD_DEEDS: Sql = Sql {
    pg: "DELETE FROM job_deeds WHERE ctid = ANY (ARRAY(SELECT ctid FROM job_deeds WHERE at < $1 ORDER BY at LIMIT $2))",
    sqlite: "DELETE FROM job_deeds WHERE rowid IN (SELECT rowid FROM job_deeds WHERE at < $1 ORDER BY at LIMIT $2)",
};
/// What nobody ended is old, too.
pub(crate) const OLD_SWEEPS: &str = "DELETE FROM job_sweeps WHERE id IN \
     (SELECT id FROM job_sweeps WHERE begun_at < $1 ORDER BY begun_at LIMIT $2)";

pub(crate) const STATEMENTS: &[Sql] = &[OLD_DEEDS, same(OLD_SWEEPS)];

/// Deletes them on a migrated database.
#[derive(Debug, Clone)]
pub struct HandsRetention {
    db: Database,
    keep: Duration,
}

impl HandsRetention {
    /// What people did is kept this long (`retention.hands`), and for ever when that is zero.
    pub fn new(db: Database, keep: Duration) -> Self {
        Self { db, keep }
    }
}

#[async_trait]
impl Retention for HandsRetention {
    fn name(&self) -> &'static str {
        "job_deeds"
    }

    async fn prune(&self, limit: u32) -> Result<u64, StoreError> {
        let now = Timestamp::now();
        // No time means for ever, as with dead jobs, and not everything at once; so does one before all times.
        let Some(old) = now.checked_sub(self.keep).ok().filter(|old| *old < now) else { return Ok(0) };
        let deeds = self.db.sql(OLD_DEEDS).bind(old).bind(limit).relaxed().run().await?;
        let sweeps = self.db.sql(OLD_SWEEPS).bind(old).bind(limit).relaxed().run().await?;
        Ok(deeds.max(sweeps))
    }
}
