//! The suppression list in `email_suppressions`: one row an address, compared in its canonical spelling.
//!
//! A row whose time is over is as if it were not there; it stays until the address is suppressed again.

use async_trait::async_trait;
use backshift_core::{StoreError, Timestamp};
use backshift_mail::{EmailAddress, Suppression, SuppressionReason, Suppressions};
use backshift_store::{Database, Executor};

/// What a row holds for: every mail but those that the person waits for.
const SCOPE: &str = "all-but-transactional-critical";

/// The suppression list on a migrated database.
#[derive(Debug, Clone)]
pub struct DatabaseSuppressions {
    db: Database,
}

type Row = (String, String, Timestamp, Option<Timestamp>);

const COLUMNS: &str = "SELECT address_key, reason, created_at, expires_at FROM email_suppressions WHERE true";

impl DatabaseSuppressions {
    /// The list in this database.
    pub fn new(db: Database) -> Self {
        Self { db }
    }
}

#[async_trait]
impl Suppressions for DatabaseSuppressions {
    async fn find_all(
        &self,
        addresses: &[EmailAddress],
        now: Timestamp,
    ) -> Result<Vec<Suppression>, StoreError> {
        let Some((first, others)) = addresses.split_first() else { return Ok(Vec::new()) };
        let query = self.db.sql(COLUMNS).push(" AND address_key IN (").push_bind(first.canonical());
        let query = others.iter().fold(query, |query, other| query.push(", ").push_bind(other.canonical()));
        let query = query.push(") AND (expires_at IS NULL OR expires_at > ").push_bind(now).push(")");
        Ok(query.all::<Row>().await?.into_iter().filter_map(suppression).collect())
    }

    async fn add(&self, suppression: Suppression) -> Result<(), StoreError> {
        const UPSERT: &str = "INSERT INTO email_suppressions (address_key, reason, scope, created_at, expires_at) \
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT (address_key) DO UPDATE SET reason = excluded.reason, \
            scope = excluded.scope, created_at = excluded.created_at, expires_at = excluded.expires_at";
        let detail = suppression.detail.replace('\0', "\u{FFFD}");
        let reason = format!("{}: {detail}", suppression.reason.as_str());
        let upsert = self.db.sql(UPSERT).bind(suppression.address.canonical()).bind(reason).bind(SCOPE);
        upsert.bind(suppression.since).bind(suppression.until).run().await.map(drop)
    }

    async fn remove(&self, address: &EmailAddress) -> Result<bool, StoreError> {
        let delete =
            self.db.sql("DELETE FROM email_suppressions WHERE address_key = $1").bind(address.canonical());
        Ok(delete.run().await? > 0)
    }

    async fn list(
        &self,
        after: Option<&EmailAddress>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Suppression>, StoreError> {
        let limit = i64::try_from(limit.min(10_000)).unwrap_or(10_000);
        let query = Executor::sql(&self.db, COLUMNS).and("address_key >", after.map(EmailAddress::canonical));
        let query = query.push(" AND (expires_at IS NULL OR expires_at > ").push_bind(now).push(")");
        let query = query.push(" ORDER BY address_key LIMIT ").push_bind(limit);
        Ok(query.all::<Row>().await?.into_iter().filter_map(suppression).collect())
    }
}

/// A row that another program wrote may hold a reason that we do not know: it counts as an operator's.
fn suppression((key, reason, since, until): Row) -> Option<Suppression> {
    let (word, detail) = reason.split_once(": ").unwrap_or((&reason, ""));
    Some(Suppression {
        address: EmailAddress::parse(&key).ok()?,
        reason: SuppressionReason::parse(word).unwrap_or(SuppressionReason::Manual),
        detail: detail.to_owned(),
        since,
        until: until.unwrap_or(Timestamp::MAX),
    })
}
