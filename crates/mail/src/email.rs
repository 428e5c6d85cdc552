//! `EmailData`: one mail as a payload, and the exact body that system C's Go producer writes.
//!
//! Reading is tolerant and lives in `decode`; writing is strict: PascalCase, Go's field order, `CcAddresses`
//! `null` when empty, `Attachments` always an array, `<`, `>`, `&` escaped as Go does.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::address::EmailAddress;
use crate::named_address::NamedAddress;

/// One mail to one recipient, as jobs and the exchange `smtp_send_email_exc` carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailData {
    /// Subject; may be empty, never holds CR, LF or NUL.
    pub subject: String,
    /// The one recipient, optionally with a display name.
    pub recipient: NamedAddress,
    /// The HTML body; empty means a mail of text only.
    pub body: String,
    /// Text alternative; made from the HTML when absent. Our addition: system C's consumers ignore it.
    pub text: Option<String>,
    /// Where answers go, when not to From.
    pub reply_to: Option<NamedAddress>,
    /// Visible copies.
    pub cc_addresses: Vec<NamedAddress>,
    /// Files, in order.
    pub attachments: Vec<Attachment>,
    /// Custom headers, in order; allow-listed when the message is built. Our addition.
    pub headers: Vec<(String, String)>,
}

/// One file of a mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Name as the sender gave it; made safe when the message is built.
    pub filename: String,
    /// MIME type; empty or unreadable becomes `application/octet-stream`.
    pub content_type: String,
    /// The bytes, decoded.
    pub data: Vec<u8>,
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attachment({:?}, {}, {} bytes)", self.filename, self.content_type, self.data.len())
    }
}

impl EmailData {
    /// A mail with subject and HTML body and nothing else.
    pub fn new(recipient: EmailAddress, subject: impl Into<String>, html: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            recipient: recipient.into(),
            body: html.into(),
            text: None,
            reply_to: None,
            cc_addresses: Vec::new(),
            attachments: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// The body as system C's Go producer writes it, byte for byte; `Text` and `Headers` follow only when set.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 256);
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, GoEscapes);
        self.serialize(&mut serializer).expect("strings and bytes always serialize into memory");
        out
    }
}

impl Serialize for EmailData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cc: Vec<String> = self.cc_addresses.iter().map(NamedAddress::to_string).collect();
        let reply_to = self.reply_to.as_ref().map(NamedAddress::to_string).unwrap_or_default();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Subject", &self.subject)?;
        map.serialize_entry("Recipient", &self.recipient.to_string())?;
        map.serialize_entry("Body", &self.body)?;
        map.serialize_entry("ReplyTo", &reply_to)?;
        map.serialize_entry("CcAddresses", &(!cc.is_empty()).then_some(cc))?;
        map.serialize_entry("Attachments", &self.attachments)?;
        if let Some(text) = &self.text {
            map.serialize_entry("Text", text)?;
        }
        if !self.headers.is_empty() {
            map.serialize_entry("Headers", &HeaderMap(&self.headers))?;
        }
        map.end()
    }
}

/// The same reading as [`crate::decode()`], so that a typed job's payload is judged like a foreign message.
impl<'de> serde::Deserialize<'de> for EmailData {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::decode::from_deserializer(deserializer)
    }
}

impl Serialize for Attachment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("Filename", &self.filename)?;
        map.serialize_entry("ContentType", &self.content_type)?;
        map.serialize_entry("Data", &STANDARD.encode(&self.data))?;
        map.end()
    }
}

struct HeaderMap<'a>(&'a [(String, String)]);

impl Serialize for HeaderMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Go's `encoding/json` escapes these so that JSON may stand inside HTML.
struct GoEscapes;

impl serde_json::ser::Formatter for GoEscapes {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        let mut rest = text;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let mut after = rest[at..].chars();
            if let Some(c) = after.next() {
                write!(writer, "\\u{:04x}", c as u32)?;
            }
            rest = after.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::{Attachment, EmailData};
    use crate::decode::decode;

    #[test]
    fn writes_what_the_go_producer_writes() {
        let mut email =
            EmailData::new("lan@x.io".parse().unwrap(), "Chào & hi", "<p title=\"a\">1 > 0</p>\n");
        let go = concat!(
            r#"{"Subject":"Chào \u0026 hi","Recipient":"lan@x.io","Body":"\u003cp title=\"a\"\u003e1 \u003e 0\u003c/p\u003e\n","#,
            r#""ReplyTo":"","CcAddresses":null,"Attachments":[]}"#
        );
        assert_eq!(String::from_utf8(email.encode()).unwrap(), go);
        email.cc_addresses.push("c@x.io".parse::<crate::address::EmailAddress>().unwrap().into());
        email.attachments.push(Attachment {
            filename: "a.txt".into(),
            content_type: "text/plain".into(),
            data: b"hi".to_vec(),
        });
        let text = String::from_utf8(email.encode()).unwrap();
        assert!(text.contains(r#""CcAddresses":["c@x.io"]"#), "{text}");
        assert!(
            text.contains(r#"[{"Filename":"a.txt","ContentType":"text/plain","Data":"aGk="}]"#),
            "{text}"
        );
    }

    #[test]
    fn what_we_write_we_read() {
        let mut email = EmailData::new("lan@x.io".parse().unwrap(), "s\u{2028}t", "b");
        email.text = Some("plain".into());
        email.headers.push(("X-Campaign".into(), "spring".into()));
        email.reply_to = Some(
            crate::NamedAddress::parse("Help, Desk <h@x.io>")
                .unwrap_or_else(|_| crate::NamedAddress::parse("\"Help, Desk\" <h@x.io>").unwrap()),
        );
        assert_eq!(decode(&email.encode()).unwrap(), email);
        assert_eq!(serde_json::from_slice::<EmailData>(&serde_json::to_vec(&email).unwrap()).unwrap(), email);
        assert!(serde_json::from_str::<EmailData>(r#"{"Recipient":"a@x.io","Recipient":"b@x.io"}"#).is_err());
    }
}
