//! The port that sends: a server in production, a directory in `backshift dev`, memory in tests.
//!
//! `send` has no error type: every failure is an `Outcome` that says what to do.

use async_trait::async_trait;

use crate::address::EmailAddress;
use crate::message::Message;
use crate::outcome::{Outcome, SendReport};

/// Sends messages.
#[async_trait]
pub trait Mailer: Send + Sync + 'static {
    /// Sends one message and says what became of it. Dropping the future before it ends leaves the same doubt
    /// as a lost connection.
    async fn send(&self, message: &Message) -> SendReport;

    /// Tries, without sending anything, whether mails from `from` could be sent now. Ends a pause.
    async fn probe(&self, from: &EmailAddress) -> Result<(), Outcome>;

    /// Says goodbye; later sends answer `Retry`.
    async fn close(&self);
}
