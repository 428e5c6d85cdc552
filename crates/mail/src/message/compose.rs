//! From `EmailData` to `Message`: validate first, then let lettre write the MIME, then look at the result.
//!
//! The Message-ID comes from the job id alone, never from the attempt: receivers drop the second copy.

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{MultiPart, SinglePart};

use super::attachment::attachment_part;
use super::headers::{address_list, check_custom, encoded, header_value, shown};
use super::{Envelope, Message, canonical_line_ends, html_to_text};
use crate::email::EmailData;
use crate::named_address::NamedAddress;

/// What a mail may weigh; the defaults are those of reliability catalogue (c) 69 and the common 25 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole message as sent, encodings included. Default 25 MiB.
    pub message_bytes: usize,
    /// Files. Default 10.
    pub attachments: usize,
    /// Visible copies. Default 50.
    pub copies: usize,
    /// Custom headers. Default 20.
    pub headers: usize,
    /// Bytes of the subject and of each custom header, before they are encoded. Default 8 KiB.
    pub header_bytes: usize,
}

impl Limits {
    /// The defaults; [`crate::decode()`] refuses lists that are longer than these.
    pub const DEFAULT: Self =
        Self { message_bytes: 25 << 20, attachments: 10, copies: 50, headers: 20, header_bytes: 8 << 10 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why a mail cannot be built: permanent, a retry gives the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// CR, LF or NUL where a header is made.
    #[error("{0} contains a line break or NUL; remove it")]
    HeaderInjection(String),
    /// A custom header outside the allow-list.
    #[error("the header {0:?} may not be set; allowed are X-…, List-…, Feedback-ID, References, In-Reply-To")]
    HeaderNotAllowed(String),
    /// The same custom header twice.
    #[error("the header {0:?} is given twice")]
    HeaderTwice(String),
    /// More of something than the limits allow.
    #[error("the mail has {have} {what}, the limit is {limit}")]
    TooMany {
        /// attachments, copies or headers.
        what: &'static str,
        /// How many there are.
        have: usize,
        /// How many may be.
        limit: usize,
    },
    /// A subject or a custom header that no server would take.
    #[error("{what} has {have} bytes, the limit is {limit}")]
    HeaderTooLong {
        /// The subject or the name of the header.
        what: String,
        /// Bytes of it.
        have: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Bigger than the limit.
    #[error("the mail has {have} bytes, the limit is {limit}; send a link instead of the file")]
    TooLarge {
        /// Bytes of this mail.
        have: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The built message broke a rule of the wire (line length, bare CR or LF): our mistake, not the sender's.
    #[error("the mail cannot be written within the limits of SMTP: {0}")]
    Unwritable(String),
}

/// Builds messages from one sender. Cheap to clone; holds no connection.
#[derive(Debug, Clone)]
pub struct Composer {
    from: NamedAddress,
    limits: Limits,
}

impl Composer {
    /// Mails come from `from` (`SMTP_FROM`, display name `SMTP_FROM_NAME`).
    pub fn new(from: NamedAddress) -> Self {
        Self { from, limits: Limits::default() }
    }

    /// Other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The sender.
    pub fn from(&self) -> &NamedAddress {
        &self.from
    }

    /// The Message-ID that a job's mail carries: `<job-id@from-domain>`.
    pub fn message_id(&self, job_id: &str) -> String {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let sound = (1..=128).contains(&job_id.len())
            && job_id.bytes().all(plain)
            && !job_id.split('.').any(str::is_empty);
        let left = if sound {
            job_id.to_owned()
        } else {
            uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, job_id.as_bytes()).to_string()
        };
        format!("<{left}@{}>", self.from.address.domain())
    }

    /// Builds the message of one job. `now` becomes Date. Work and memory grow with the bytes of the mail and with
    /// nothing that stands in them; from some KiB on it belongs on a blocking thread.
    pub fn compose(
        &self,
        email: &EmailData,
        job_id: &str,
        now: jiff::Timestamp,
    ) -> Result<Message, ComposeError> {
        self.check(email)?;
        let message_id = self.message_id(job_id);
        let message = self.headers(email, &message_id, now).multipart_or_single(email);
        let bytes = message.map_err(|e| ComposeError::Unwritable(e.to_string()))?.formatted();
        self.check_written(&bytes)?;
        let cc = distinct_copies(email);
        let envelope = Envelope { from: self.from.address.clone(), to: email.recipient.address.clone(), cc };
        Ok(Message { envelope, message_id, subject: email.subject.clone(), bytes: bytes.into() })
    }

    fn check(&self, email: &EmailData) -> Result<(), ComposeError> {
        for (what, have, limit) in [
            ("attachments", email.attachments.len(), self.limits.attachments),
            ("copies", email.cc_addresses.len(), self.limits.copies),
            ("headers", email.headers.len(), self.limits.headers),
        ] {
            if have > limit {
                return Err(ComposeError::TooMany { what, have, limit });
            }
        }
        let files: usize = email.attachments.iter().map(|a| a.data.len()).sum();
        let have = files + email.body.len() + email.text.as_ref().map_or(0, String::len);
        if have > self.limits.message_bytes {
            return Err(ComposeError::TooLarge { have, limit: self.limits.message_bytes });
        }
        let custom = email.headers.iter().map(|(name, value)| (name.as_str(), value.len()));
        for (name, have) in std::iter::once(("Subject", email.subject.len())).chain(custom) {
            if have > self.limits.header_bytes {
                let what = format!("the header {:?}", shown(name));
                return Err(ComposeError::HeaderTooLong { what, have, limit: self.limits.header_bytes });
            }
        }
        if email.subject.contains(['\r', '\n', '\0']) {
            return Err(ComposeError::HeaderInjection("Subject".into()));
        }
        for file in &email.attachments {
            if file.filename.contains(['\r', '\n', '\0']) || file.content_type.contains(['\r', '\n', '\0']) {
                return Err(ComposeError::HeaderInjection("an attachment's name or type".into()));
            }
        }
        check_custom(&email.headers)
    }

    fn headers(&self, email: &EmailData, message_id: &str, now: jiff::Timestamp) -> Draft {
        let date = now.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
        let mut lines = vec![
            header_value("Date", date.clone(), date),
            address_list("From", std::slice::from_ref(&self.from)),
            address_list("To", std::slice::from_ref(&email.recipient)),
        ];
        if !email.cc_addresses.is_empty() {
            lines.push(address_list("Cc", &email.cc_addresses));
        }
        if let Some(reply_to) = &email.reply_to {
            lines.push(address_list("Reply-To", std::slice::from_ref(reply_to)));
        }
        lines.push(encoded("Subject", &email.subject));
        lines.push(header_value("Message-ID", message_id.to_owned(), message_id.to_owned()));
        lines.push(header_value("Auto-Submitted", "auto-generated".into(), "auto-generated".into()));
        for (name, value) in &email.headers {
            lines.push(encoded(name, value));
        }
        let seed = content_id(message_id, email);
        Draft { lines, envelope: lettre_envelope(self, email), seed }
    }

    fn check_written(&self, bytes: &[u8]) -> Result<(), ComposeError> {
        if bytes.len() > self.limits.message_bytes {
            return Err(ComposeError::TooLarge { have: bytes.len(), limit: self.limits.message_bytes });
        }
        let mut lines = bytes.split(|b| *b == b'\n').peekable();
        while let Some(line) = lines.next() {
            let last = lines.peek().is_none();
            let text = line.strip_suffix(b"\r").unwrap_or(line);
            if text.len() > 998 || text.contains(&b'\r') || (!last && text.len() == line.len()) {
                return Err(ComposeError::Unwritable("a line is too long or ends without CRLF".into()));
            }
        }
        if bytes.is_ascii() { Ok(()) } else { Err(ComposeError::Unwritable("it is not ASCII".into())) }
    }
}

/// The header lines, waiting for a body.
struct Draft {
    lines: Vec<HeaderValue>,
    envelope: Result<lettre::address::Envelope, lettre::error::Error>,
    /// What the boundaries are made of.
    seed: String,
}

impl Draft {
    fn multipart_or_single(self, email: &EmailData) -> Result<lettre::Message, lettre::error::Error> {
        // lettre insists on typed From, To and Date; they are set raw so that none of its panics can be reached.
        let mut builder = lettre::Message::builder()
            .envelope(self.envelope?)
            .from(lettre::message::Mailbox::new(None, lettre::Address::new_dangerous("a", "a.invalid")));
        for line in self.lines {
            builder = builder.raw_header(line);
        }
        if email.attachments.is_empty() && email.body.is_empty() {
            return builder.singlepart(text_part(email));
        }
        if email.attachments.is_empty() {
            return builder.multipart(alternative(email, &self.seed));
        }
        let mixed = MultiPart::mixed().boundary(format!("mix-{}", self.seed));
        let mut mixed = if email.body.is_empty() {
            mixed.singlepart(text_part(email))
        } else {
            mixed.multipart(alternative(email, &self.seed))
        };
        for file in &email.attachments {
            mixed = mixed.singlepart(attachment_part(file));
        }
        builder.multipart(mixed)
    }
}

/// The same mail gets the same boundaries on every attempt, and no body can hold its own hash.
fn content_id(message_id: &str, email: &EmailData) -> String {
    let parts = [message_id, &email.body, email.text.as_deref().unwrap_or_default()];
    let start = uuid::Uuid::NAMESPACE_OID;
    parts.iter().fold(start, |seed, part| uuid::Uuid::new_v5(&seed, part.as_bytes())).simple().to_string()
}

fn alternative(email: &EmailData, seed: &str) -> MultiPart {
    let html = SinglePart::builder().header(ContentType::TEXT_HTML).body(body_text(&email.body));
    let both = MultiPart::alternative().boundary(format!("alt-{seed}"));
    both.singlepart(text_part(email)).singlepart(html)
}

fn text_part(email: &EmailData) -> SinglePart {
    let text = match &email.text {
        Some(text) => body_text(text),
        None => body_text(&html_to_text(&email.body)),
    };
    SinglePart::builder().header(ContentType::TEXT_PLAIN).body(text)
}

fn body_text(text: &str) -> String {
    // CRLF is ASCII: the bytes stay UTF-8.
    String::from_utf8(canonical_line_ends(text.as_bytes())).unwrap_or_default()
}

fn lettre_envelope(
    composer: &Composer,
    email: &EmailData,
) -> Result<lettre::address::Envelope, lettre::error::Error> {
    let address = |a: &crate::EmailAddress| lettre::Address::new_dangerous(a.local(), a.domain());
    let to = vec![address(&email.recipient.address)];
    lettre::address::Envelope::new(Some(address(&composer.from.address)), to)
}

fn distinct_copies(email: &EmailData) -> Vec<crate::EmailAddress> {
    let mut seen = std::collections::HashSet::from([email.recipient.address.canonical()]);
    let addresses = email.cc_addresses.iter().map(|c| c.address.clone());
    addresses.filter(|a| seen.insert(a.canonical())).collect()
}

/// Only so that a typo in a header name is caught by a test and not by lettre's panic.
pub(super) fn known_name(name: &str) -> HeaderName {
    HeaderName::new_from_ascii(name.to_owned()).unwrap_or(HeaderName::new_from_ascii_str("X-Unnamed"))
}
