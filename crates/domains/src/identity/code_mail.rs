//! How the mail with a code gets into a queue: in the very transaction that makes the challenge.
//!
//! The job names the challenge and nothing else; the code is derived when the mail is rendered. So neither the
//! ledger nor a broker of ours ever holds a code.

use async_trait::async_trait;
use backshift_core::{BrokerName, Envelope, Job, Kind, QueueName, StoreError, Timestamp, wire::TRACEPARENT};
use backshift_store::{Database, Tx, foreign, notify::Bell};
use uuid::Uuid;

use super::SendCode;

/// A code that shall be mailed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeOrder {
    /// What the code is derived from.
    pub challenge: Uuid,
    /// Whom it is for.
    pub user_id: Uuid,
    /// `en`, `vi`, `ja`.
    pub locale: String,
    /// Trace context of the request.
    pub traceparent: Option<String>,
}

/// Queues mails with codes.
#[async_trait]
pub trait CodeMail: Send + Sync + 'static {
    /// Accepts the mail with the transaction: when it commits the mail is as sure as the challenge.
    async fn enqueue(&self, tx: &mut Tx, order: &CodeOrder, now: Timestamp) -> Result<(), StoreError>;

    /// Called after the commit, to wake whoever works the queue. Must not wait.
    fn committed(&self) {}
}

/// Writes a job `identity.send_code` through the outbox of the database.
#[derive(Debug, Clone)]
pub struct OutboxCodeMail {
    broker: BrokerName,
    queue: QueueName,
    bell: Option<Bell>,
}

impl OutboxCodeMail {
    /// Jobs for the database's own queue (`postgres` or `embedded`), worked by a pool of `queue` on it.
    pub fn new(db: &Database, queue: QueueName) -> Self {
        let broker = if db.as_pg().is_some() { BrokerName::POSTGRES } else { BrokerName::EMBEDDED };
        Self { broker, queue, bell: Some(Bell::new(db)) }
    }

    /// Jobs for another broker, by its name in the ledger; the relay publishes them after the commit.
    pub fn through(broker: BrokerName, queue: QueueName) -> Self {
        Self { broker, queue, bell: None }
    }

    /// With a bell that others of this process listen to, so that they wake at once.
    #[must_use]
    pub fn with_bell(mut self, bell: Bell) -> Self {
        self.bell = Some(bell);
        self
    }
}

#[async_trait]
impl CodeMail for OutboxCodeMail {
    async fn enqueue(&self, tx: &mut Tx, order: &CodeOrder, now: Timestamp) -> Result<(), StoreError> {
        let job = SendCode { challenge: order.challenge, locale: order.locale.clone() };
        let payload = serde_json::to_vec(&job).map_err(|error| StoreError::Rejected(error.to_string()))?;
        let kind = Kind::new(SendCode::KIND).map_err(|error| StoreError::Rejected(error.to_string()))?;
        let mut envelope = Envelope::new(kind, self.queue.clone(), payload, now);
        envelope.user_id = Some(order.user_id);
        envelope.priority = 50;
        if let Some(trace) = &order.traceparent {
            envelope.headers.insert(TRACEPARENT.to_owned(), trace.clone());
        }
        foreign::enqueue_in(tx, self.broker, &[envelope]).await.map(drop)
    }

    fn committed(&self) {
        if let Some(bell) = &self.bell {
            bell.ring(&self.queue);
        }
    }
}
