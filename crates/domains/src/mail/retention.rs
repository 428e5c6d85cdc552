//! The end of personal data that mails leave behind: entries of the send log, and suppressions whose time is over.
//!
//! Rows that system B wrote into `email_sends` have no time of ours and stay.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{StoreError, Timestamp, store::Retention};
use backshift_store::{Database, Sql, old, retention::older_than};

const SENDS: Sql = old!("email_sends", "id", "at", "");
const SUPPRESSIONS: Sql = old!("email_suppressions", "address_key", "expires_at", "");

/// Deletes them on a migrated database.
#[derive(Debug, Clone)]
pub struct MailRetention {
    db: Database,
    keep: Duration,
}

impl MailRetention {
    /// Entries of the send log are kept this long (`retention.email_sends`), and for ever when that is zero.
    pub fn new(db: Database, keep: Duration) -> Self {
        Self { db, keep }
    }
}

#[async_trait]
impl Retention for MailRetention {
    fn name(&self) -> &'static str {
        "email_sends"
    }

    async fn prune(&self, limit: u32) -> Result<u64, StoreError> {
        let now = Timestamp::now();
        let sends = match older_than(self.keep, now) {
            Some(old) => self.db.sql(SENDS).bind(old).bind(limit).relaxed().run().await?,
            None => 0,
        };
        let suppressions = self.db.sql(SUPPRESSIONS).bind(now).bind(limit).relaxed().run().await?;
        Ok(sends.max(suppressions))
    }
}
