//! Builds the RFC 5322 message and its envelope from an `EmailData`.
//!
//! lettre writes the MIME; everything that it would panic on or let through (CR/LF in names, headers that it
//! does not check, missing Message-ID) is checked here first. The result is ASCII with CRLF line ends only.

mod attachment;
mod compose;
mod headers;
mod html_to_text;

pub use compose::{ComposeError, Composer, Limits};
pub use html_to_text::html_to_text;

use bytes::Bytes;

use crate::address::EmailAddress;

/// Who a message is from and to on the SMTP level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The MAIL FROM address.
    pub from: EmailAddress,
    /// The one recipient; when it is refused nothing is sent to anybody.
    pub to: EmailAddress,
    /// Visible copies; a refused one does not stop the others.
    pub cc: Vec<EmailAddress>,
}

/// A message ready to send. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Message {
    envelope: Envelope,
    message_id: String,
    subject: String,
    bytes: Bytes,
}

impl Message {
    /// A message from bytes that exist already (a stored `.eml`). Line ends are brought to CRLF.
    pub fn from_parts(envelope: Envelope, message_id: impl Into<String>, bytes: &[u8]) -> Self {
        let bytes = canonical_line_ends(bytes).into();
        Self { envelope, message_id: message_id.into(), subject: String::new(), bytes }
    }

    /// Sender and recipients.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The Message-ID with its angle brackets: the same for every attempt of one job.
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// The subject as text, empty for [`Message::from_parts`]. Not for logs unless the operator allows it.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Header and body, CRLF line ends, not yet dot-stuffed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Every recipient in the order of RCPT: To first.
    pub fn recipients(&self) -> impl Iterator<Item = &EmailAddress> {
        std::iter::once(&self.envelope.to).chain(&self.envelope.cc)
    }
}

/// `\r\n`, a bare `\n` and a bare `\r` all become `\r\n` (SMTP smuggling, CVE-2023-51764).
pub(crate) fn canonical_line_ends(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 2);
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| matches!(b, b'\r' | b'\n')) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(b"\r\n");
        let width = if rest[at..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[at + width..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests;
