//! The end of personal data that mails leave behind: entries of the send log, and suppressions whose time is over.
//!
//! Rows that system B wrote into `email_sends` have no time of ours and stay.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{StoreError, Timestamp, store::Retention};
use backshift_store::Database;

const SENDS: &str = "DELETE FROM email_sends WHERE id IN \
    (SELECT id FROM email_sends WHERE at IS NOT NULL AND at < $1 ORDER BY at LIMIT $2)";
const SUPPRESSIONS: &str = "DELETE FROM email_suppressions WHERE address_key IN (SELECT address_key \
    FROM email_suppressions WHERE expires_at IS NOT NULL AND expires_at < $1 ORDER BY expires_at LIMIT $2)";

/// Deletes them on a migrated database.
#[derive(Debug, Clone)]
pub struct MailRetention {
    db: Database,
    keep: Duration,
}

impl MailRetention {
    /// Entries of the send log are kept this long (`retention.email_sends`).
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
        let old = now.checked_sub(self.keep).unwrap_or(Timestamp::MIN);
        let sends = self.db.sql(SENDS).bind(old).bind(limit).relaxed().run().await?;
        let suppressions = self.db.sql(SUPPRESSIONS).bind(now).bind(limit).relaxed().run().await?;
        Ok(sends.max(suppressions))
    }
}
