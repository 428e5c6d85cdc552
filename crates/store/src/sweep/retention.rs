//! The end of what is known about people's hands: deeds and sweeps that are old enough, in bites.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{StoreError, Timestamp, store::Retention};

use crate::{Database, Sql, old, retention::older_than};

const OLD_DEEDS: Sql = old!("job_deeds", "rowid", "at", "");
/// What nobody ended is old, too.
const OLD_SWEEPS: Sql = old!("job_sweeps", "id", "begun_at", "");

pub(crate) const STATEMENTS: &[Sql] = &[OLD_DEEDS, OLD_SWEEPS];

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
        let Some(old) = older_than(self.keep, Timestamp::now()) else { return Ok(0) };
        let deeds = self.db.sql(OLD_DEEDS).bind(old).bind(limit).relaxed().run().await?;
        let sweeps = self.db.sql(OLD_SWEEPS).bind(old).bind(limit).relaxed().run().await?;
        Ok(deeds.max(sweeps))
    }
}
