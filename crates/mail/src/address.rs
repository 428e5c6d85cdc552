//! E-mail addresses: strict check, one canonical spelling, masking for logs.
//!
//! `Display` writes the whole address (it is what goes on the wire); `Debug` masks it, so that a derived
//! `Debug` of a bigger struct never leaks one into a log.

use std::fmt;

/// Longest path that SMTP carries (RFC 5321 §4.5.3.1.3, without the angle brackets).
const MAX_ADDRESS: usize = 254;
/// Longest local part (RFC 5321 §4.5.3.1.1).
const MAX_LOCAL: usize = 64;
/// Longest domain in its ASCII form (RFC 1035 §2.3.4).
const MAX_DOMAIN: usize = 253;

/// Longest text that is looked at: a domain in another script is shorter after its conversion.
const MAX_TEXT: usize = 1_024;

/// A checked address: ASCII dot-atom local part, ASCII (punycode) domain in lower case.
///
/// Two addresses are equal when their canonical spellings are: the case of the local part is kept for
/// sending and ignored for comparison.
#[derive(Clone)]
pub struct EmailAddress {
    local: String,
    domain: String,
}

/// Why a text is not an address that we send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing there.
    #[error("the address is empty")]
    Empty,
    /// CR, LF, NUL or another control character: an attempt to smuggle a header or a command.
    #[error("the address contains a control character")]
    ControlCharacter,
    /// More than one address in one field.
    #[error("the field holds several addresses; give one address per field")]
    Several,
    /// No `@`, or more than one.
    #[error("the address needs exactly one @ between a name and a domain")]
    At,
    /// Quoted local part, comment, space, or a character outside RFC 5322 atext.
    #[error(
        "the part before the @ may only hold letters, digits and !#$%&'*+-/=?^_`{{|}}~ with single dots between"
    )]
    Local,
    /// Local part beyond ASCII: needs SMTPUTF8, which we do not use.
    #[error("the part before the @ must be ASCII")]
    LocalNotAscii,
    /// Too long for SMTP.
    #[error("the address is too long (64 characters before the @, 254 in all)")]
    TooLong,
    /// Literal, no dot, bad label, or not convertible to punycode.
    #[error("the domain is not a host name with a dot, such as example.org")]
    Domain,
}

impl EmailAddress {
    /// Checks `text` (a bare address, no display name) and brings the domain into ASCII lower case.
    ///
    /// Refused on purpose: quoted local parts, comments, domain literals, domains without a dot, a trailing
    /// dot, surrounding spaces.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        // Before anything that costs more than a look at each byte.
        if text.len() > MAX_TEXT {
            return Err(AddressError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(AddressError::ControlCharacter);
        }
        if text.contains([',', ';']) {
            return Err(AddressError::Several);
        }
        let (local, domain) = text.split_once('@').ok_or(AddressError::At)?;
        if local.is_empty() || domain.is_empty() || (domain.contains('@') && !local.contains('"')) {
            return Err(AddressError::At);
        }
        check_local(local)?;
        let domain = ascii_domain(domain)?;
        if local.len() + 1 + domain.len() > MAX_ADDRESS {
            return Err(AddressError::TooLong);
        }
        Ok(Self { local: local.to_owned(), domain })
    }

    /// The part before the `@`, spelled as given.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain in ASCII lower case.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The one spelling for comparing, counting and suppressing: everything in lower case.
    pub fn canonical(&self) -> String {
        format!("{}@{}", self.local.to_ascii_lowercase(), self.domain)
    }

    /// `ab***@host`, for logs, errors and pages (docs/contracts/system-c.md, "Names and settings").
    pub fn masked(&self) -> String {
        let shown: String = self.local.chars().take(2.min(self.local.len() - 1)).collect();
        format!("{shown}***@{}", self.domain)
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmailAddress({})", self.masked())
    }
}

impl PartialEq for EmailAddress {
    fn eq(&self, other: &Self) -> bool {
        self.domain == other.domain && self.local.eq_ignore_ascii_case(&other.local)
    }
}

impl Eq for EmailAddress {}

impl std::hash::Hash for EmailAddress {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

impl std::str::FromStr for EmailAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl serde::Serialize for EmailAddress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for EmailAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

fn check_local(local: &str) -> Result<(), AddressError> {
    if !local.is_ascii() {
        return Err(AddressError::LocalNotAscii);
    }
    if local.len() > MAX_LOCAL {
        return Err(AddressError::TooLong);
    }
    let atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    let sound = |atom: &str| !atom.is_empty() && atom.bytes().all(atext);
    if local.split('.').all(sound) { Ok(()) } else { Err(AddressError::Local) }
}

fn ascii_domain(domain: &str) -> Result<String, AddressError> {
    let ascii = idna::domain_to_ascii_cow(domain.as_bytes(), idna::AsciiDenyList::STD3)
        .map_err(|_| AddressError::Domain)?
        .to_ascii_lowercase();
    if ascii.len() > MAX_DOMAIN {
        return Err(AddressError::TooLong);
    }
    let mut labels = ascii.split('.');
    let sound = labels.all(|label| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    });
    let top_is_name = ascii.rsplit('.').next().is_some_and(|top| !top.bytes().all(|b| b.is_ascii_digit()));
    if sound && ascii.contains('.') && top_is_name { Ok(ascii) } else { Err(AddressError::Domain) }
}

#[cfg(test)]
mod tests {
    use super::{AddressError, EmailAddress};

    #[test]
    fn accepts_what_people_have() {
        for good in [
            "a@x.io",
            "first.last+tag@sub.example.co.uk",
            "o'brien@example.org",
            "_x_@example.org",
            "1@xn--80ak6aa92e.com",
        ] {
            assert_eq!(EmailAddress::parse(good).unwrap().to_string(), good);
        }
    }

    #[test]
    fn refuses_the_catalogue() {
        use AddressError::{At, ControlCharacter, Domain, Empty, Local, LocalNotAscii, Several, TooLong};
        let long_local = format!("{}@x.io", "a".repeat(65));
        let long_domain = format!("a@{}.io", "b.".repeat(130));
        let long_label = format!("a@{}.io", "b".repeat(64));
        for (bad, why) in [
            ("", Empty),
            ("a@x.io\r\nRCPT TO:<e@e.io>", ControlCharacter),
            ("a\0@x.io", ControlCharacter),
            ("a@x.io, b@x.io", Several),
            ("a@x.io;b@x.io", Several),
            ("plain", At),
            ("@x.io", At),
            ("a@", At),
            ("a@b@x.io", At),
            ("\"a b\"@x.io", Local),
            ("a b@x.io", Local),
            (" a@x.io", Local),
            ("a(comment)@x.io", Local),
            ("a..b@x.io", Local),
            (".a@x.io", Local),
            ("a.@x.io", Local),
            ("<a@x.io>", Local),
            ("ü@x.io", LocalNotAscii),
            ("a@x", Domain),
            ("a@[127.0.0.1]", Domain),
            ("a@127.0.0.1", Domain),
            ("a@x.io.", Domain),
            ("a@x..io", Domain),
            ("a@-x.com", Domain),
            ("a@x-.com", Domain),
            ("a@x.io ", Domain),
            ("a@x_y.io", Domain),
            (&long_local, TooLong),
            (&long_label, Domain),
        ] {
            assert_eq!(EmailAddress::parse(bad).unwrap_err(), why, "{bad:?}");
        }
        assert!(EmailAddress::parse(&long_domain).is_err());
    }

    #[test]
    fn one_canonical_spelling() {
        let unicode = EmailAddress::parse("User@BÜCHER.example").unwrap();
        let ascii = EmailAddress::parse("user@xn--bcher-kva.example").unwrap();
        assert_eq!(unicode, ascii);
        assert_eq!(unicode.canonical(), "user@xn--bcher-kva.example");
        assert_eq!(unicode.to_string(), "User@xn--bcher-kva.example");
        assert_eq!(EmailAddress::parse("a@x\u{ff0e}com").unwrap().domain(), "x.com");
    }

    #[test]
    fn masks_in_logs() {
        let address = EmailAddress::parse("abcdef@x.io").unwrap();
        assert_eq!(address.masked(), "ab***@x.io");
        assert_eq!(format!("{address:?}"), "EmailAddress(ab***@x.io)");
        assert_eq!(EmailAddress::parse("a@x.io").unwrap().masked(), "***@x.io");
        assert_eq!(EmailAddress::parse("ab@x.io").unwrap().masked(), "a***@x.io");
    }
}
