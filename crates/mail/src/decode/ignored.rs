//! Seeds for what every JSON value must obey: no key twice, no NUL in any string, also in unknown fields.
//!
//! `Ignored` walks a value without keeping it; `Text` keeps one string. Depth is bounded by serde_json (128).

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Walks any value, checks it, keeps nothing.
pub(super) struct Ignored;

impl<'de> DeserializeSeed<'de> for Ignored {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Ignored {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        no_nul(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Ignored)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = Keys::default();
        while let Some(key) = map.next_key_seed(Text)? {
            keys.add(&key)?;
            map.next_value_seed(Ignored)?;
        }
        Ok(())
    }
}

/// One string without NUL.
pub(super) struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        no_nul(text)?;
        Ok(text.to_owned())
    }
}

/// Keys of one object, more than any program writes into a mail: each is kept until its object ends.
const MOST_KEYS: usize = 1_000;

/// The keys that one object has shown so far.
#[derive(Default)]
pub(super) struct Keys(HashSet<String>);

impl Keys {
    pub(super) fn add<E: Error>(&mut self, key: &str) -> Result<(), E> {
        if self.0.len() == MOST_KEYS {
            return Err(E::custom(format_args!("an object has more than {MOST_KEYS} keys")));
        }
        if self.0.insert(key.to_owned()) {
            Ok(())
        } else {
            let short: String = key.chars().take(64).collect();
            Err(E::custom(format_args!("duplicate key {short:?}")))
        }
    }
}

pub(super) fn no_nul<E: Error>(text: &str) -> Result<(), E> {
    if text.contains('\0') { Err(E::custom("a string contains NUL")) } else { Ok(()) }
}
