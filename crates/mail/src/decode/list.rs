//! Lists and objects of a mail: read entry by entry, and no further than a mail may have.
//!
//! The bound is checked before an entry is made: a message may hold a million of them, and the sender pays nothing.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Malformed;
use super::fields::Parsed;
use super::file::AttachmentSeed;
use super::ignored::{Keys, Text};
use crate::email::Attachment;
use crate::message::Limits;

/// `CcAddresses`.
pub(super) struct TextList;

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
        while list.len() < Limits::DEFAULT.copies {
            match seq.next_element_seed(Text)? {
                Some(text) => list.push(text),
                None => return Ok(list),
            }
        }
        ends("CcAddresses", Limits::DEFAULT.copies, &mut seq)?;
        Ok(list)
    }
}

/// `Headers`.
pub(super) struct TextMap;

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
            if entries.len() == Limits::DEFAULT.headers {
                return Err(too_many("Headers", Limits::DEFAULT.headers));
            }
            entries.push((key, map.next_value_seed(Text)?));
        }
        Ok(entries)
    }
}

/// `Attachments`.
pub(super) struct AttachmentList;

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
        for index in 0..Limits::DEFAULT.attachments {
            match (&mut files, seq.next_element_seed(AttachmentSeed(index))?) {
                (_, None) => return Ok(files),
                (Ok(list), Some(Ok(file))) => list.push(file),
                (Ok(_), Some(Err(malformed))) => files = Err(malformed),
                (Err(_), Some(_)) => {}
            }
        }
        ends("Attachments", Limits::DEFAULT.attachments, &mut seq)?;
        Ok(files)
    }
}

/// The list has as many entries as it may have: nothing may follow.
fn ends<'de, A: SeqAccess<'de>>(field: &'static str, limit: usize, seq: &mut A) -> Result<(), A::Error> {
    match seq.next_element::<IgnoredAny>()? {
        Some(_) => Err(too_many(field, limit)),
        None => Ok(()),
    }
}

/// An error of the parser, so that it reads no further.
fn too_many<E: serde::de::Error>(field: &'static str, limit: usize) -> E {
    E::custom(Malformed::TooMany { field, limit })
}
