//! The end of personal data that accounts leave behind: challenges of codes, the log of codes that were sent, counts.
//!
//! The limits look back one hour and a challenge answers for its code until that has ended, so nothing goes sooner than
//! a day after it came; counts go when their hour is surely over.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{
    StoreError, Timestamp,
    store::{KEPT_AT_LEAST, Retention},
};
use backshift_store::{Database, Sql, old};

use super::{limits::HOUR, service::before};

const CHALLENGES: Sql = old!("otp_challenges", "id", "issued_at", " AND expires_at < $3");
const SENDS: Sql = old!("otp_sends", "id", "at", "");
const COUNTS: Sql = old!("auth_counts", "what, who", "begun", "");

/// Deletes them on a migrated database.
#[derive(Debug, Clone)]
pub struct IdentityRetention {
    db: Database,
    keep: Duration,
}

impl IdentityRetention {
    /// Challenges and sent codes are kept this long (`retention.otp`), a day at least.
    pub fn new(db: Database, keep: Duration) -> Self {
        Self { db, keep: keep.max(KEPT_AT_LEAST) }
    }
}

#[async_trait]
impl Retention for IdentityRetention {
    fn name(&self) -> &'static str {
        "one-time codes"
    }

    async fn prune(&self, limit: u32) -> Result<u64, StoreError> {
        let now = Timestamp::now();
        let (old, over) = (before(now, self.keep), before(now, HOUR * 2));
        let challenges = self.db.sql(CHALLENGES).bind(old).bind(limit).bind(now).relaxed().run().await?;
        let sends = self.db.sql(SENDS).bind(old).bind(limit).relaxed().run().await?;
        let counts = self.db.sql(COUNTS).bind(over).bind(limit).relaxed().run().await?;
        Ok(challenges.max(sends).max(counts))
    }
}
