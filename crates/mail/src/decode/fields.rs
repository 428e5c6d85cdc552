//! The fields of a mail on the wire: every spelling of each, typed, at most once per value.
//!
//! Spellings are one name: `CcAddresses`, `ccAddresses` and `cc_addresses` fold to `ccaddresses`, as Go's
//! case-insensitive decoder nearly does. Two spellings with equal values are fine, with different ones an error.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Malformed;
use super::ignored::{Ignored, Keys, Text};
use crate::email::Attachment;

/// What was read, before the checks that need more than one value.
#[derive(Default)]
pub(super) struct RawEmail {
    pub(super) subject: Option<String>,
    pub(super) recipient: Option<String>,
    pub(super) body: Option<String>,
    pub(super) text: Option<String>,
    pub(super) reply_to: Option<String>,
    pub(super) cc_addresses: Option<Vec<String>>,
    pub(super) attachments: Option<Vec<Attachment>>,
    pub(super) headers: Option<Vec<(String, String)>>,
}

type Parsed<T> = Result<T, Malformed>;

/// The whole object. The inner `Result` carries errors that JSON itself does not know.
pub(super) struct EmailSeed;

impl<'de> DeserializeSeed<'de> for EmailSeed {
    type Value = Parsed<RawEmail>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EmailSeed {
    type Value = Parsed<RawEmail>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object with Recipient, Subject and Body")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut keys = Keys::default();
        let mut raw = RawEmail::default();
        let mut verdict = Ok(());
        while let Some(key) = map.next_key_seed(Text)? {
            keys.add(&key)?;
            let step = read_field(&mut raw, &key, &mut map)?;
            verdict = verdict.and(step);
        }
        Ok(verdict.map(|()| raw))
    }
}

fn read_field<'de, A: MapAccess<'de>>(
    raw: &mut RawEmail,
    key: &str,
    map: &mut A,
) -> Result<Parsed<()>, A::Error> {
    Ok(match folded(key).as_str() {
        "subject" => put("Subject", &mut raw.subject, map.next_value_seed(OrNull(Text))?),
        "recipient" => put("Recipient", &mut raw.recipient, map.next_value_seed(OrNull(Text))?),
        "body" => put("Body", &mut raw.body, map.next_value_seed(OrNull(Text))?),
        "text" => put("Text", &mut raw.text, map.next_value_seed(OrNull(Text))?),
        "replyto" => put("ReplyTo", &mut raw.reply_to, map.next_value_seed(OrNull(Text))?),
        "ccaddresses" => put("CcAddresses", &mut raw.cc_addresses, map.next_value_seed(OrNull(TextList))?),
        "headers" => put("Headers", &mut raw.headers, map.next_value_seed(OrNull(TextMap))?),
        "attachments" => match map.next_value_seed(OrNull(AttachmentList))?.transpose() {
            Ok(files) => put("Attachments", &mut raw.attachments, files),
            Err(malformed) => Err(malformed),
        },
        _ => {
            map.next_value_seed(Ignored)?;
            Ok(())
        }
    })
}

/// Null means the empty value, as for Go; a second spelling must say the same.
fn put<T: Default + PartialEq>(field: &'static str, slot: &mut Option<T>, value: Option<T>) -> Parsed<()> {
    let value = value.unwrap_or_default();
    match slot {
        Some(earlier) if *earlier != value => Err(Malformed::Contradiction(field)),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

fn folded(key: &str) -> String {
    key.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
}

/// `null` or what the inner seed reads.
struct OrNull<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for OrNull<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for OrNull<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the field's type, or null")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

struct TextList;

impl<'de> DeserializeSeed<'de> for TextList {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for TextList {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(text) = seq.next_element_seed(Text)? {
            list.push(text);
        }
        Ok(list)
    }
}

struct TextMap;

impl<'de> DeserializeSeed<'de> for TextMap {
    type Value = Vec<(String, String)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TextMap {
    type Value = Vec<(String, String)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut keys = Keys::default();
        let mut entries = Vec::new();
        while let Some(key) = map.next_key_seed(Text)? {
            keys.add(&key)?;
            entries.push((key, map.next_value_seed(Text)?));
        }
        Ok(entries)
    }
}

struct AttachmentList;

impl<'de> DeserializeSeed<'de> for AttachmentList {
    type Value = Parsed<Vec<Attachment>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for AttachmentList {
    type Value = Parsed<Vec<Attachment>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of attachments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut files = Ok(Vec::new());
        let mut index = 0;
        while let Some(file) = seq.next_element_seed(AttachmentSeed(index))? {
            match (&mut files, file) {
                (Ok(list), Ok(file)) => list.push(file),
                (Ok(_), Err(malformed)) => files = Err(malformed),
                (Err(_), _) => {}
            }
            index += 1;
        }
        Ok(files)
    }
}

struct AttachmentSeed(usize);

impl<'de> DeserializeSeed<'de> for AttachmentSeed {
    type Value = Parsed<Attachment>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for AttachmentSeed {
    type Value = Parsed<Attachment>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with Filename, ContentType and Data")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut keys = Keys::default();
        let (mut filename, mut content_type, mut data) = (None, None, None);
        let mut verdict = Ok(());
        while let Some(key) = map.next_key_seed(Text)? {
            keys.add(&key)?;
            let step = match folded(&key).as_str() {
                "filename" => put("Filename", &mut filename, map.next_value_seed(OrNull(Text))?),
                "contenttype" => put("ContentType", &mut content_type, map.next_value_seed(OrNull(Text))?),
                "data" => put("Data", &mut data, map.next_value_seed(OrNull(Text))?),
                _ => {
                    map.next_value_seed(Ignored)?;
                    Ok(())
                }
            };
            verdict = verdict.and(step);
        }
        let [filename, content_type, data] = [filename, content_type, data].map(Option::unwrap_or_default);
        Ok(verdict.and_then(|()| attachment(self.0, filename, content_type, &data)))
    }
}

fn attachment(index: usize, filename: String, content_type: String, data: &str) -> Parsed<Attachment> {
    super::no_line_break("Filename", &filename)?;
    super::no_line_break("ContentType", &content_type)?;
    // Go's decoder skips line breaks inside base64 and nothing else.
    let data = match data.contains(['\r', '\n']) {
        true => STANDARD.decode(data.replace(['\r', '\n'], "")),
        false => STANDARD.decode(data),
    };
    let data = data.map_err(|_| Malformed::Base64(index))?;
    Ok(Attachment { filename, content_type, data })
}
