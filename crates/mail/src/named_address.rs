//! One entry of a header field: an address with an optional display name.
//!
//! It is one: `a@x.io, b@x.io` is refused, because a worker sends one job to one recipient.

use std::fmt;

use crate::address::{AddressError, EmailAddress};

/// Longest display name in characters; longer ones are refused, not cut.
const MAX_NAME: usize = 200;

/// Longest text that is read: a name of that length in any script with every letter escaped, and an address.
const MAX_TEXT: usize = 4_096;

/// `Name <address>` or a bare address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedAddress {
    /// The display name, decoded, without quotes.
    pub name: Option<String>,
    /// The address.
    pub address: EmailAddress,
}

impl NamedAddress {
    /// A bare address.
    pub fn bare(address: EmailAddress) -> Self {
        Self { name: None, address }
    }

    /// An address with a display name; an empty name is none. Control characters are refused.
    pub fn named(name: &str, address: EmailAddress) -> Result<Self, AddressError> {
        if name.chars().any(char::is_control) {
            return Err(AddressError::ControlCharacter);
        }
        if name.chars().count() > MAX_NAME {
            return Err(AddressError::TooLong);
        }
        let name = name.trim();
        Ok(Self { name: (!name.is_empty()).then(|| name.to_owned()), address })
    }

    /// Reads `a@x.io`, `Name <a@x.io>` or `"Name, Title" <a@x.io>`; spaces around are dropped.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_TEXT {
            return Err(AddressError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(AddressError::ControlCharacter);
        }
        let text = text.trim_matches(' ');
        let Some(inner) = text.strip_suffix('>') else {
            return EmailAddress::parse(text).map(Self::bare);
        };
        let (name, address) = inner.rsplit_once('<').ok_or(AddressError::At)?;
        Self::named(&display_name(name)?, EmailAddress::parse(address)?)
    }
}

impl From<EmailAddress> for NamedAddress {
    fn from(address: EmailAddress) -> Self {
        Self::bare(address)
    }
}

impl fmt::Display for NamedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            None => write!(f, "{}", self.address),
            Some(name) => {
                let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
                write!(f, "\"{quoted}\" <{}>", self.address)
            }
        }
    }
}

fn display_name(raw: &str) -> Result<String, AddressError> {
    let raw = raw.trim_matches(' ');
    let Some(quoted) = raw.strip_prefix('"') else {
        return if raw.contains([',', ';', '<', '>', '@', '"']) {
            Err(AddressError::Several)
        } else {
            Ok(raw.to_owned())
        };
    };
    let quoted = quoted.strip_suffix('"').ok_or(AddressError::Local)?;
    let mut name = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => name.push(chars.next().ok_or(AddressError::Local)?),
            '"' => return Err(AddressError::Several),
            _ => name.push(c),
        }
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::NamedAddress;
    use crate::address::AddressError;

    #[test]
    fn reads_the_usual_forms_and_writes_them_back() {
        for (text, name) in [
            ("a@x.io", None),
            (" a@x.io ", None),
            ("<a@x.io>", None),
            ("Lan Nguyễn <a@x.io>", Some("Lan Nguyễn")),
            ("\"Doe, \\\"J\\\"\" <a@x.io>", Some("Doe, \"J\"")),
        ] {
            let read = NamedAddress::parse(text).unwrap();
            assert_eq!(read.name.as_deref(), name, "{text}");
            assert_eq!(NamedAddress::parse(&read.to_string()).unwrap(), read);
        }
    }

    #[test]
    fn refuses_lists_and_injection() {
        for bad in [
            "a@x.io, b@x.io",
            "A <a@x.io>, B <b@x.io>",
            "\"A\" <a@x.io>, \"B\" <b@x.io>",
            "a@x.io <b@x.io>",
            "A <a@x.io",
            "A\r\nBcc: e@e.io <a@x.io>",
            "\"open <a@x.io>",
            "",
        ] {
            assert!(NamedAddress::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(NamedAddress::parse("A\0 <a@x.io>").unwrap_err(), AddressError::ControlCharacter);
    }
}
