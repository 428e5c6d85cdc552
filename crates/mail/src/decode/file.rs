//! One attachment on the wire: its three fields in every spelling, the bytes decoded from base64.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::Malformed;
use super::fields::{OrNull, Parsed, folded, put};
use super::ignored::{Ignored, Keys, Text, no_nul};
use crate::email::Attachment;

/// One file; its place is for the error.
pub(super) struct AttachmentSeed(pub(super) usize);

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
                "data" => put("Data", &mut data, map.next_value_seed(OrNull(FileSeed))?),
                _ => {
                    map.next_value_seed(Ignored)?;
                    Ok(())
                }
            };
            verdict = verdict.and(step);
        }
        let [filename, content_type] = [filename, content_type].map(Option::unwrap_or_default);
        Ok(verdict.and_then(|()| attachment(self.0, filename, content_type, data.unwrap_or_default())))
    }
}

fn attachment(index: usize, filename: String, content_type: String, data: FileBytes) -> Parsed<Attachment> {
    super::no_line_break("Filename", &filename)?;
    super::no_line_break("ContentType", &content_type)?;
    let data = data.0.ok_or(Malformed::Base64(index))?;
    Ok(Attachment { filename, content_type, data })
}

/// The bytes of a file; `None` = not base64.
#[derive(PartialEq)]
struct FileBytes(Option<Vec<u8>>);

impl Default for FileBytes {
    fn default() -> Self {
        Self(Some(Vec::new()))
    }
}

/// Decodes while it reads: a file is large, and its text is needed for nothing else.
struct FileSeed;

impl<'de> DeserializeSeed<'de> for FileSeed {
    type Value = FileBytes;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FileSeed {
    type Value = FileBytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<FileBytes, E> {
        no_nul(text)?;
        // Go's decoder skips line breaks inside base64 and nothing else.
        let decoded = match text.contains(['\r', '\n']) {
            true => STANDARD.decode(text.replace(['\r', '\n'], "")),
            false => STANDARD.decode(text),
        };
        Ok(FileBytes(decoded.ok()))
    }
}
