//! The fields of a mail on the wire: every spelling of each, typed, at most once per value.
//!
//! Spellings are one name: `CcAddresses`, `ccAddresses` and `cc_addresses` fold to `ccaddresses`, as Go's
//! case-insensitive decoder nearly does. Two spellings with equal values are fine, with different ones an error.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::Malformed;
use super::ignored::{Ignored, Keys, Text};
use super::list::{AttachmentList, TextList, TextMap};
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

pub(super) type Parsed<T> = Result<T, Malformed>;

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
pub(super) fn put<T: Default + PartialEq>(
    field: &'static str,
    slot: &mut Option<T>,
    value: Option<T>,
) -> Parsed<()> {
    let value = value.unwrap_or_default();
    match slot {
        Some(earlier) if *earlier != value => Err(Malformed::Contradiction(field)),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

pub(super) fn folded(key: &str) -> String {
    key.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
}

/// `null` or what the inner seed reads.
pub(super) struct OrNull<S>(pub(super) S);

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
