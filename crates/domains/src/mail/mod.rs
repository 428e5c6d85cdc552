//! `email.send`: takes a mail from the queue and brings it to the mail server. It is sent once; after an unknown outcome at
//! most one more time.
//!
//! One [`MailWorker`] serves the mails of the exchange and the mails with codes of our own; it alone decides what
//! an [`Outcome`](backshift_mail::Outcome) means for a job (docs/contracts/system-c.md, "Mail outcome").

mod decoder;
mod deliver;
mod effect;
mod handler;
#[cfg(feature = "mailbox")]
mod mailbox;
mod options;
mod pause;
mod retention;
mod send_log;
mod suppressions;
mod tables;
mod verdict;

pub use decoder::{MailDecoder, RECIPIENT_HASH, SUBJECT};
pub use deliver::{Letter, MailWorker};
pub use handler::{KIND, register};
#[cfg(feature = "mailbox")]
pub use mailbox::Mailbox;
pub use options::{AmbiguousPolicy, MailOptions};
pub use pause::{PauseView, TransportPause};
pub use retention::MailRetention;
pub use send_log::DatabaseSendLog;
pub use suppressions::DatabaseSuppressions;
pub use tables::TABLES;

/// The queue of mails that did not come over system C's exchange.
pub const QUEUE: &str = "mail";
/// The queue of the mails with one-time codes, which must not stand behind others.
pub const QUEUE_OF_CODES: &str = "identity";
/// The queue of system C's consumers.
pub const QUEUE_OF_SYSTEM_C: &str = "smtp_send_email";
/// Header with the [`MailClass`](backshift_mail::MailClass) of a mail; a mail without it is an unknown one.
pub const MAIL_CLASS: &str = "backshift-mail-class";
