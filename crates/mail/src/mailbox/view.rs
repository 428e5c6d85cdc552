//! A stored mail as a page shows it.
//!
//! The HTML is what the sender wrote: a page must show it in a sandboxed frame, never inline.

use mail_parser::{Address, HeaderName, Message, MessageParser, MimeHeaders as _, PartType};

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSummary {
    /// For [`super::DevMailbox::read`]; safe in a URL path.
    pub id: String,
    /// `Name <address>` or the address.
    pub from: String,
    /// The recipients in To.
    pub to: Vec<String>,
    /// The subject, decoded.
    pub subject: String,
    /// The Date header.
    pub date: Option<jiff::Timestamp>,
    /// Bytes of the file.
    pub size: u64,
    /// The Message-ID without its brackets: ours begin with the job's id.
    pub message_id: String,
}

/// A whole mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMail {
    /// What the list shows.
    pub summary: StoredSummary,
    /// The recipients in Cc.
    pub cc: Vec<String>,
    /// Reply-To, when set.
    pub reply_to: Option<String>,
    /// The recipients of the envelope.
    pub delivered_to: Vec<String>,
    /// With angle brackets.
    pub message_id: String,
    /// The HTML part, untrusted.
    pub html: Option<String>,
    /// The text part.
    pub text: Option<String>,
    /// The attachments, in order.
    pub files: Vec<StoredFile>,
}

/// An attachment without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// The file name.
    pub name: String,
    /// The MIME type.
    pub content_type: String,
    /// Bytes, decoded.
    pub size: usize,
}

impl StoredSummary {
    pub(super) fn parse(id: &str, head: &[u8], size: u64) -> Self {
        let parsed = MessageParser::default().parse_headers(head).unwrap_or_default();
        Self::from_message(id, &parsed, size)
    }

    fn from_message(id: &str, message: &Message<'_>, size: u64) -> Self {
        Self {
            id: id.to_owned(),
            from: addresses(message.from()).into_iter().next().unwrap_or_default(),
            to: addresses(message.to()),
            subject: message.subject().unwrap_or_default().to_owned(),
            message_id: message.message_id().unwrap_or_default().to_owned(),
            date: message.date().and_then(|d| jiff::Timestamp::from_second(d.to_timestamp()).ok()),
            size,
        }
    }
}

impl StoredMail {
    pub(super) fn parse(id: &str, bytes: &[u8]) -> Self {
        let message = MessageParser::default().parse(bytes).unwrap_or_default();
        let delivered = message.header_values(HeaderName::DeliveredTo);
        let own = |want_html: bool| {
            let parts = if want_html { &message.html_body } else { &message.text_body };
            parts.iter().find_map(|index| match &message.parts.get(*index as usize)?.body {
                PartType::Html(html) if want_html => Some(html.to_string()),
                PartType::Text(text) if !want_html => Some(text.to_string()),
                _ => None,
            })
        };
        Self {
            summary: StoredSummary::from_message(id, &message, bytes.len() as u64),
            cc: addresses(message.cc()),
            reply_to: addresses(message.reply_to()).into_iter().next(),
            delivered_to: delivered.filter_map(|v| v.as_text()).map(str::to_owned).collect(),
            message_id: message.message_id().map(|id| format!("<{id}>")).unwrap_or_default(),
            html: own(true),
            text: own(false),
            files: message.attachments().map(StoredFile::from_part).collect(),
        }
    }
}

impl StoredFile {
    pub(super) fn extract(bytes: &[u8], index: usize) -> Option<(Self, Vec<u8>)> {
        let message = MessageParser::default().parse(bytes)?;
        let part = message.attachment(u32::try_from(index).ok()?)?;
        Some((Self::from_part(part), part.contents().to_vec()))
    }

    fn from_part(part: &mail_parser::MessagePart<'_>) -> Self {
        let content_type = part.content_type().map(|kind| match kind.subtype() {
            Some(subtype) => format!("{}/{subtype}", kind.ctype()),
            None => kind.ctype().to_owned(),
        });
        Self {
            name: part.attachment_name().unwrap_or("attachment").to_owned(),
            content_type: content_type.unwrap_or_else(|| "application/octet-stream".to_owned()),
            size: part.contents().len(),
        }
    }
}

fn addresses(header: Option<&Address<'_>>) -> Vec<String> {
    let entries = header.into_iter().flat_map(Address::iter);
    let shown = entries.filter_map(|entry| match (entry.name(), entry.address()) {
        (Some(name), Some(address)) => Some(format!("{name} <{address}>")),
        (None, Some(address)) => Some(address.to_owned()),
        _ => None,
    });
    shown.collect()
}
