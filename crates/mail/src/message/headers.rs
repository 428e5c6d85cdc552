//! Header lines: RFC 2047 where needed, folded, and an allow-list for those that a payload may set.
//!
//! lettre's own encoder passes control characters and words of any length; so every text goes through here.

use email_encoding::headers::writer::EmailWriter;
use lettre::message::header::HeaderValue;

use super::ComposeError;
use super::compose::known_name;
use crate::named_address::NamedAddress;

/// Longest word that is written as it is; longer ones are encoded so that they can be folded.
const MAX_WORD: usize = 70;

/// Names beside `X-…` that a payload may set, in lower case.
const ALLOWED: [&str; 12] = [
    "list-unsubscribe",
    "list-unsubscribe-post",
    "list-id",
    "list-help",
    "list-archive",
    "feedback-id",
    "references",
    "in-reply-to",
    "precedence",
    "importance",
    "keywords",
    "organization",
];

/// Structured values: never encoded, so they must be plain ASCII with short words.
const STRUCTURED: [&str; 7] = [
    "list-unsubscribe",
    "list-unsubscribe-post",
    "list-id",
    "list-help",
    "list-archive",
    "references",
    "in-reply-to",
];

/// Allowed names, each once, values without control characters.
pub(super) fn check_custom(headers: &[(String, String)]) -> Result<(), ComposeError> {
    let mut seen = std::collections::HashSet::new();
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        if name.chars().chain(value.chars()).any(|c| matches!(c, '\r' | '\n' | '\0')) {
            return Err(ComposeError::HeaderInjection(format!("the header {:?}", shown(name))));
        }
        let token = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let named = (3..=60).contains(&name.len()) && name.bytes().all(token);
        if !named || !(lower.starts_with("x-") || ALLOWED.contains(&lower.as_str())) {
            return Err(ComposeError::HeaderNotAllowed(shown(name)));
        }
        let printable = value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b));
        let foldable = value.split(' ').all(|word| word.len() <= 900);
        if STRUCTURED.contains(&lower.as_str()) && !(printable && foldable) {
            return Err(ComposeError::Unwritable(format!(
                "{name} must be ASCII with words below 900 characters"
            )));
        }
        if !seen.insert(lower) {
            return Err(ComposeError::HeaderTwice(shown(name)));
        }
    }
    Ok(())
}

/// An unstructured text: as it is when plain, else as encoded words; folded either way.
pub(super) fn encoded(name: &str, value: &str) -> HeaderValue {
    let structured = STRUCTURED.contains(&name.to_ascii_lowercase().as_str());
    if structured || is_plain(value) {
        // lettre folds plain words at 76 columns.
        return HeaderValue::new(known_name(name), value.to_owned());
    }
    let mut out = String::new();
    encode_words(value, name.len() + 2, &mut out);
    header_value(name, value.to_owned(), out)
}

/// Addresses with their display names, one list, folded at the commas.
pub(super) fn address_list(name: &str, list: &[NamedAddress]) -> HeaderValue {
    let mut out = String::new();
    let mut column = name.len() + 2;
    for (index, entry) in list.iter().enumerate() {
        let mut text = written(entry, column);
        if index > 0 {
            out.push(',');
            if column + text.len() > 76 {
                out.push_str("\r\n");
                text = written(entry, 1);
                column = 0;
            }
            out.push(' ');
            column += 2;
        }
        column = text.rsplit('\n').next().map_or(0, str::len) + if text.contains('\n') { 0 } else { column };
        out.push_str(&text);
    }
    let raw = list.iter().map(NamedAddress::to_string).collect::<Vec<_>>().join(", ");
    header_value(name, raw, out)
}

/// A line whose value is already encoded and folded.
pub(super) fn header_value(name: &str, raw: String, encoded: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(known_name(name), raw, encoded)
}

fn written(entry: &NamedAddress, column: usize) -> String {
    let Some(name) = &entry.name else { return entry.address.to_string() };
    let mut out = String::new();
    if is_plain(name) && name.len() <= MAX_WORD {
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        out.push_str(&format!("\"{quoted}\""));
    } else {
        encode_words(name, column, &mut out);
    }
    let last = out.rsplit('\n').next().map_or(0, str::len);
    let address = entry.address.to_string();
    out.push_str(if last + address.len() + 3 > 76 { "\r\n " } else { " " });
    out.push_str(&format!("<{address}>"));
    out
}

fn is_plain(text: &str) -> bool {
    !text.contains("=?")
        && text.bytes().all(|b| (b' '..=b'~').contains(&b))
        && text.split(' ').all(|word| word.len() <= MAX_WORD)
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.contains("  ")
}

fn encode_words(text: &str, column: usize, out: &mut String) {
    let mut writer = EmailWriter::new(out, column, 0, false);
    // Writing into a String cannot fail.
    let _ = email_encoding::headers::rfc2047::encode(text, &mut writer);
}

pub(super) fn shown(name: &str) -> String {
    crate::masking::mask_text(name).chars().take(60).collect()
}
