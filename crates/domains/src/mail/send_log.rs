//! The send log in `email_sends`: who, when, what the server said. No subject, no body, no whole address.
//!
//! The address is kept as a hash (to look for one person's mails) and masked (to show); what is read back is the
//! masked one.

use async_trait::async_trait;
use backshift_core::{Bytes, StoreError, Timestamp};
use backshift_mail::{EmailAddress, SendLog, SendLogEntry};
use backshift_store::{Database, Executor};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The send log on a migrated database.
#[derive(Debug, Clone)]
pub struct DatabaseSendLog {
    db: Database,
}

type Row = (Option<Uuid>, Option<String>, Option<String>, Option<String>, Option<String>, Option<Timestamp>);

const COLUMNS: &str = "SELECT job_id, message_id, recipient_masked, outcome, reply, at FROM email_sends WHERE job_id IS NOT NULL";

const OUTCOMES: [&str; 6] = ["sent", "retry", "pause", "permanent", "ambiguous", "suppressed"];
const CLASSES: [&str; 15] = [
    "transient",
    "throttled",
    "quota",
    "too_many_recipients",
    "invalid_recipient",
    "bad_domain",
    "policy",
    "config",
    "tls",
    "sender",
    "message",
    "network",
    "timeout",
    "protocol",
    "storage",
];

impl DatabaseSendLog {
    /// The log in this database.
    pub fn new(db: Database) -> Self {
        Self { db }
    }

    async fn rows(&self, query: backshift_store::Query<'_>) -> Result<Vec<SendLogEntry>, StoreError> {
        Ok(query.all::<Row>().await?.into_iter().filter_map(entry).collect())
    }
}

#[async_trait]
impl SendLog for DatabaseSendLog {
    async fn record(&self, entry: SendLogEntry) -> Result<(), StoreError> {
        const INSERT: &str = "INSERT INTO email_sends \
            (id, job_id, message_id, recipient_hash, recipient_masked, outcome, reply, at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let hash = Sha256::digest(entry.recipient.canonical());
        let insert = self.db.sql(INSERT).bind(Uuid::now_v7()).bind(Uuid::try_parse(&entry.job_id).ok());
        let insert = insert.bind(&entry.message_id).bind(Bytes::copy_from_slice(&hash));
        let insert =
            insert.bind(entry.recipient.masked()).bind(entry.outcome).bind(reply(&entry)).bind(entry.at);
        // What is lost with the machine's power is a line for people, never a mail.
        insert.relaxed().run().await.map(drop)
    }

    async fn recent(&self, limit: usize) -> Result<Vec<SendLogEntry>, StoreError> {
        let limit = i64::try_from(limit.min(10_000)).unwrap_or(10_000);
        let query = self.db.sql(COLUMNS).push(" AND at IS NOT NULL ORDER BY at DESC, id DESC LIMIT ");
        self.rows(query.push_bind(limit)).await
    }

    async fn of_job(&self, job_id: &str) -> Result<Vec<SendLogEntry>, StoreError> {
        let Ok(id) = Uuid::try_parse(job_id) else { return Ok(Vec::new()) };
        let query = Executor::sql(&self.db, COLUMNS).and("job_id =", Some(id)).push(" ORDER BY at, id");
        self.rows(query).await
    }
}

/// Attempt, class, code and text as one line that a person reads too: `#2 transient 450 greylisted`.
fn reply(entry: &SendLogEntry) -> String {
    let class = if entry.class.is_empty() { "-" } else { entry.class };
    let code = entry.code.map_or_else(|| "-".to_owned(), |code| code.to_string());
    format!("#{} {class} {code} {}", entry.attempt, entry.text.replace('\0', "\u{FFFD}"))
}

fn entry((job, message_id, masked, outcome, reply, at): Row) -> Option<SendLogEntry> {
    let reply = reply.unwrap_or_default();
    let mut parts = reply.splitn(4, ' ');
    let attempt = parts.next().and_then(|text| text.strip_prefix('#')).and_then(|n| n.parse().ok());
    let class = parts.next().unwrap_or_default();
    let code = parts.next().and_then(|text| text.parse().ok());
    Some(SendLogEntry {
        job_id: job?.to_string(),
        attempt: attempt.unwrap_or(1),
        message_id: message_id.unwrap_or_default(),
        recipient: EmailAddress::parse(&masked?).ok()?,
        outcome: OUTCOMES.into_iter().find(|known| Some(*known) == outcome.as_deref())?,
        class: CLASSES.into_iter().find(|known| *known == class).unwrap_or_default(),
        code,
        text: parts.next().unwrap_or_default().to_owned(),
        at: at?,
    })
}
