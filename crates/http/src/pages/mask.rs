//! Text from outside as it may be shown: addresses masked, secrets hidden, long text cut with an end mark.
//!
//! Characters that nobody sees but that change the order of others are written out, so that a text cannot pose as
//! another. HTML is not escaped here: the templates do that.

use std::borrow::Cow;

use backshift_mail::mask_text;
use serde_json::Value;

use super::secrets::{is_secret, without_url_secrets};

const LONGEST: usize = 160;
/// Lines of a payload on its page.
const LINES: usize = 200;
/// Bytes of a payload on its page.
const MOST: usize = 1 << 20;
/// JSON inside texts of JSON is looked into so deep.
const TEXTS: usize = 3;
/// Keys under which a pair of name and value has its name, and its value.
const PAIR: ([&str; 4], [&str; 3]) = (["name", "key", "field", "header"], ["value", "values", "content"]);

/// Words of the other side (an error, a note, a subject): on one line, at most `most` characters.
pub fn said(text: &str, most: usize) -> String {
    cut(&visible(&mask_text(text)), most)
}

/// Who acted: looks like an address and is shown, because that is what it is asked for.
pub(super) fn name(text: &str, most: usize) -> String {
    cut(&visible(text), most)
}

/// A text that is shown whole, such as the body of a mail in the mailbox of `dev`.
pub fn letter(text: &str) -> String {
    visible(text)
}

/// How much of a payload is shown. Secrets are hidden either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Addresses masked, long texts as their length, long lists cut.
    Masked,
    /// All that is kept.
    Whole,
}

/// Pretty JSON; bytes that are no JSON are told by their size.
pub(super) fn payload(bytes: &[u8], shown: Shown) -> String {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(mut value) => {
            hide(&mut value, shown, TEXTS);
            let text = visible(&pretty(&value));
            if shown == Shown::Whole { text } else { shortened(&text) }
        }
        Err(_) if bytes.is_empty() => "(empty)".to_owned(),
        Err(_) => format!("({} bytes that cannot be read as JSON)", bytes.len()),
    }
}

/// What a search may find in a payload: all that unmasking would show, without spaces and in small letters.
pub(super) fn searchable(bytes: &[u8]) -> String {
    let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else { return String::new() };
    hide(&mut value, Shown::Whole, TEXTS);
    squeezed(&value.to_string())
}

/// Without spaces, which JSON may have anywhere, and in small letters.
pub(super) fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<String>().to_lowercase()
}

/// Indented, and no longer than anybody reads: a line deep inside is mostly indentation.
fn pretty(value: &Value) -> String {
    let mut page = Bounded(Vec::new());
    let whole = serde_json::to_writer_pretty(&mut page, value).is_ok();
    let mut text = String::from_utf8_lossy(&page.0).into_owned();
    if !whole {
        text.push_str("\n… and more");
    }
    text
}

/// Takes [`MOST`] bytes, then no more.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MOST {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn shortened(text: &str) -> String {
    let lines = text.lines().count();
    if lines <= LINES {
        return text.to_owned();
    }
    let kept: Vec<&str> = text.lines().take(LINES).collect();
    format!("{}\n… and {} more lines", kept.join("\n"), lines - LINES)
}

fn hide(value: &mut Value, how: Shown, texts: usize) {
    match value {
        Value::Object(map) => {
            let named = names_a_secret(map);
            let entries = std::mem::take(map).into_iter();
            map.extend(entries.map(|(key, mut inner)| {
                match is_secret(&key) || (named && is_one_of(&PAIR.1, &key)) {
                    true => hide_whole(&mut inner),
                    false => hide(&mut inner, how, texts),
                }
                (if how == Shown::Whole { key } else { masked(&key) }, inner)
            }));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, how, texts)),
        Value::String(text) => {
            *text = without_url_secrets(text);
            hide_inside(text, how, texts);
            if how == Shown::Masked {
                *text = masked(text);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `{"name": "password", "value": …}`, as lists of headers and fields are written.
fn names_a_secret(map: &serde_json::Map<String, Value>) -> bool {
    let mut names = map.iter().filter(|(key, _)| is_one_of(&PAIR.0, key));
    names.any(|(_, name)| name.as_str().is_some_and(is_secret))
}

fn is_one_of(keys: &[&str], key: &str) -> bool {
    keys.iter().any(|one| key.eq_ignore_ascii_case(one))
}

/// A text that is JSON itself, as it is when somebody encoded a payload twice.
fn hide_inside(text: &mut String, how: Shown, texts: usize) {
    if texts == 0 || !text.trim_start().starts_with(['{', '[']) {
        return;
    }
    let Ok(before) = serde_json::from_str::<Value>(text) else { return };
    let mut after = before.clone();
    hide(&mut after, how, texts - 1);
    if after != before {
        *text = after.to_string();
    }
}

/// What stands below a secret's key is a secret, a list of codes too.
fn hide_whole(value: &mut Value) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::String(text) if text.is_empty() => {}
        _ => *value = "(hidden)".into(),
    }
}

fn masked(text: &str) -> String {
    let size = text.chars().count();
    if size > LONGEST {
        return format!("<{size} characters>");
    }
    if text.contains('@') { mask_text(text) } else { text.to_owned() }
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Whether every character of it is seen, on one line.
pub(super) fn is_plain(text: &str) -> bool {
    visible(text) == text && !text.contains(['\n', '\t'])
}

/// What no page sends on, whoever wrote it: control characters, marks that turn the order of letters or break a line, and
/// tags that nobody sees. What joins letters stays, because languages need it.
pub(super) fn seen(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

fn acts(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t' | '\r'))
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Invisible and reordering characters (Unicode TR 36 and 9) as `\u{202e}`; line breaks stay.
fn visible(text: &str) -> String {
    let unseen =
        |c: char| acts(c) || c == '\r' || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}');
    let mut out = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        if unseen(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_secrets_and_long_text_are_not_shown() {
        let text = payload(
            br#"{"Recipient":"anna@example.com","password":"hunter2","otp":123456,"bob@example.com":1,"n":1}"#,
            Shown::Masked,
        );
        assert!(text.contains("an***@example.com") && !text.contains("anna@"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("123456") && !text.contains("bob@"), "{text}");
        assert!(text.contains("\"n\": 1"));
        let below = br#"{"backup_codes":["111111",222222],"token":{"value":"333333","at":[{"x":"444444"}]}}"#;
        for shown in [Shown::Masked, Shown::Whole] {
            let text = payload(below, shown);
            assert!(
                ["111111", "222222", "333333", "444444"].iter().all(|code| !text.contains(code)),
                "{text}"
            );
        }
        let long = format!("{{\"Body\":\"{}\"}}", "x".repeat(500));
        assert!(payload(long.as_bytes(), Shown::Masked).contains("<500 characters>"));
        assert_eq!(payload(&[0xff, 0xfe], Shown::Masked), "(2 bytes that cannot be read as JSON)");
    }

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let hidden = [
            r#"{"user":{"api_key":"SECRET1"}}"#,
            r#"{"headers":[{"name":"Authorization","value":"SECRET1"},{"Key":"X-Api-Key","Value":["SECRET1"]}]}"#,
            r#"{"body":"{\"cookie\":\"SECRET1\",\"deeper\":\"{\\\"pin\\\":\\\"SECRET1\\\"}\"}"}"#,
            r#"["https://x.io/?session=SECRET1", {"a":"amqp://u:SECRET1@h/"}]"#,
            r#"{"card":{"number":4111111111111111,"note":"SECRET1"}}"#,
        ];
        for json in hidden {
            for shown in [Shown::Masked, Shown::Whole] {
                let text = payload(json.as_bytes(), shown);
                assert!(!text.contains("SECRET1") && !text.contains("41111"), "{json}: {text}");
            }
        }
        let open = r#"{"name":"shipping","value":"to Hue","text":"[1, 2]"}"#;
        let text = payload(open.as_bytes(), Shown::Masked);
        assert!(text.contains("to Hue") && text.contains("[1, 2]"), "{text}");
    }

    #[test]
    fn unmasking_shows_everything_but_secrets() {
        let long = "x".repeat(500);
        let json = format!("{{\"to\":\"anna@example.com\",\"body\":\"{long}\",\"otp\":\"123456\"}}");
        let text = payload(json.as_bytes(), Shown::Whole);
        assert!(
            text.contains("anna@example.com") && text.contains(&long) && !text.contains("123456"),
            "{text}"
        );
    }

    #[test]
    fn long_lists_end_with_a_mark() {
        let many = serde_json::to_vec(&vec![1; 1000]).unwrap();
        assert!(payload(&many, Shown::Masked).ends_with("… and 802 more lines"));
        let wide = format!("[{}]", vec!["[".repeat(100) + &"]".repeat(100); 2_000].join(","));
        let text = payload(wide.as_bytes(), Shown::Whole);
        assert!(text.len() <= MOST + 100 && text.ends_with("… and more"), "{} bytes", text.len());
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert!(payload(deep.as_bytes(), Shown::Masked).contains("cannot be read"));
    }

    #[test]
    fn what_nobody_sees_is_written_out() {
        assert_eq!(said("abc\u{202e}txt.exe \u{0}", 100), "abc\\u{202e}txt.exe  ");
        assert_eq!(said("550 <anna@example.com> no", 100), "550 <an***@example.com> no");
        assert_eq!(said("abcdef", 3), "abc…");
    }
}
