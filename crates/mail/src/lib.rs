//! Mail: reading `EmailData`, building messages, sending them, saying what became of them.
//!
//! The way of one mail, in the words of this crate:
//!
//! 1. [`decode`] reads foreign bytes into [`EmailData`] (or says why they are [`Malformed`]), or
//!    [`Templates::render`] makes subject, HTML and text for a kind of mail and a locale.
//! 2. [`Composer::compose`] builds the [`Message`]: same job id, same Message-ID, on every attempt.
//! 3. [`Suppressions::find`] is asked right before sending.
//! 4. [`Mailer::send`] answers a [`SendReport`]; its [`Outcome`] alone decides what the job does: `Sent`
//!    (complete), `Retry`, `Pause` (snooze everything, no attempt burnt, [`Mailer::probe`] ends it),
//!    `Permanent` (dead letter, maybe suppress), `Ambiguous` (nobody knows).
//! 5. [`SendLog::record`] keeps the attempt.
//!
//! Mailers: [`SmtpTransport`] (production), [`DevMailbox`] (a directory, with pages' reading side),
//! [`MemoryMailer`] (tests). Nothing here reads environment, files of configuration or clocks.

pub mod address;
pub mod classify;
pub mod decode;
pub mod email;
pub mod mailbox;
pub mod mailer;
pub mod masking;
pub mod memory;
pub mod message;
pub mod named_address;
pub mod outcome;
pub mod send_log;
pub mod smtp;
pub mod suppression;
pub mod templates;

pub use address::{AddressError, EmailAddress};
pub use decode::{Malformed, decode};
pub use email::{Attachment, EmailData};
pub use mailbox::{DevMailbox, StoredFile, StoredMail, StoredSummary};
pub use mailer::Mailer;
pub use masking::mask_text;
pub use memory::{MemoryMailer, MemorySendLog, MemorySuppressions};
pub use message::{ComposeError, Composer, Envelope, Limits, Message, html_to_text};
pub use named_address::NamedAddress;
pub use outcome::{
    Class, EnhancedCode, Failure, Fault, Outcome, RecipientResult, RefusedCopy, SendReport, Stage,
};
pub use send_log::{SendLog, SendLogEntry};
pub use smtp::{Credentials, OptionsError, SmtpOptions, SmtpTransport, TlsMode};
pub use suppression::{MailClass, Suppression, SuppressionReason, Suppressions};
pub use templates::{EMAIL_VERIFICATION, Rendered, TemplateError, Templates, VERIFICATION_CODE};
