//! Reads `EmailData` from foreign bytes: PascalCase (Go), camelCase and snake_case, one strict list of refusals.
//!
//! The trap: serde_json takes the last of two equal keys and skips unknown values unchecked. So this is a
//! visitor of our own (`fields`, `ignored`) that streams, sees every key and every string, and stores nothing unknown.

mod fields;
mod file;
mod ignored;
mod list;

use serde::de::DeserializeSeed as _;

use crate::address::AddressError;
use crate::email::EmailData;
use crate::masking::mask_text;
use crate::named_address::NamedAddress;
use fields::RawEmail;

/// Why a message is not a mail: it goes to the dead letters with reason `malformed`, bytes untouched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Starts with U+FEFF.
    #[error("the message starts with a byte order mark; send plain UTF-8 JSON")]
    ByteOrderMark,
    /// Bytes that are not UTF-8.
    #[error("the message is not UTF-8 (byte {0})")]
    NotUtf8(usize),
    /// Not JSON, not an object, mistyped, duplicate key, lone surrogate, too deep: what and where.
    #[error("the message is not the JSON of a mail: {0}")]
    Json(String),
    /// One field spelled in two ways with two values.
    #[error("{0} is given in two spellings with different values; give it once")]
    Contradiction(&'static str),
    /// Recipient missing, null or empty.
    #[error("Recipient is missing or empty")]
    NoRecipient,
    /// An address field that is not a single address.
    #[error("{field} is not one e-mail address: {error}")]
    Address {
        /// The field's name on the wire.
        field: &'static str,
        /// What is wrong with it.
        error: AddressError,
    },
    /// CR or LF where a header is made of the value.
    #[error("{0} contains CR or LF")]
    LineBreak(&'static str),
    /// More entries than a mail may have: reading stops there.
    #[error("{field} has more than {limit} entries")]
    TooMany {
        /// The field's name on the wire.
        field: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// Attachment data that is not standard base64.
    #[error("Attachments[{0}].Data is not padded standard base64")]
    Base64(usize),
}

/// Decodes one message of `smtp_send_email` (or an `email.send` payload of the same shape).
///
/// Tolerated: missing or null Subject, Body, ReplyTo, CcAddresses, Attachments; unknown fields; U+0085 and
/// U+2028 in subjects. Refused: docs/contracts/system-c.md, "Malformed", and more entries in a list than [`crate::Limits`]
/// has by default; the error says which. Takes time and memory in proportion to the bytes.
pub fn decode(bytes: &[u8]) -> Result<EmailData, Malformed> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(Malformed::ByteOrderMark);
    }
    let text = std::str::from_utf8(bytes).map_err(|e| Malformed::NotUtf8(e.valid_up_to()))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let raw = fields::EmailSeed.deserialize(&mut json).and_then(|raw| json.end().map(|()| raw));
    checked(raw.map_err(|e| Malformed::Json(safe_text(&e)))??)
}

/// serde_json quotes the value that it did not expect there; that may be a code, so it goes.
fn safe_text(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let Some(quote) = text.chars().find(|c| matches!(c, '"' | '`')) else { return mask_text(&text) };
    match (text.find(quote), text.rfind(quote)) {
        (Some(from), Some(to)) if text.starts_with("invalid ") && from < to => {
            mask_text(&format!("{}{}", text[..from].trim_end(), &text[to + 1..]))
        }
        _ => mask_text(&text),
    }
}

/// For `EmailData: Deserialize`.
pub(crate) fn from_deserializer<'de, D: serde::Deserializer<'de>>(json: D) -> Result<EmailData, D::Error> {
    use serde::de::Error as _;
    fields::EmailSeed.deserialize(json)?.and_then(checked).map_err(D::Error::custom)
}

fn checked(raw: RawEmail) -> Result<EmailData, Malformed> {
    let recipient = raw.recipient.filter(|r| !r.trim().is_empty()).ok_or(Malformed::NoRecipient)?;
    let subject = raw.subject.unwrap_or_default();
    no_line_break("Subject", &subject)?;
    let reply_to = raw.reply_to.filter(|r| !r.is_empty());
    let cc = raw.cc_addresses.unwrap_or_default();
    for (name, value) in raw.headers.iter().flatten() {
        no_line_break("Headers", name)?;
        no_line_break("Headers", value)?;
    }
    Ok(EmailData {
        subject,
        recipient: one_address("Recipient", &recipient)?,
        body: raw.body.unwrap_or_default(),
        text: raw.text.filter(|t| !t.is_empty()),
        reply_to: reply_to.map(|r| one_address("ReplyTo", &r)).transpose()?,
        cc_addresses: cc.iter().map(|c| one_address("CcAddresses", c)).collect::<Result<_, _>>()?,
        attachments: raw.attachments.unwrap_or_default(),
        headers: raw.headers.unwrap_or_default(),
    })
}

fn one_address(field: &'static str, text: &str) -> Result<NamedAddress, Malformed> {
    no_line_break(field, text)?;
    NamedAddress::parse(text).map_err(|error| Malformed::Address { field, error })
}

fn no_line_break(field: &'static str, text: &str) -> Result<(), Malformed> {
    if text.contains(['\r', '\n']) { Err(Malformed::LineBreak(field)) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
