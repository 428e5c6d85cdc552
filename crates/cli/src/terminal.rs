//! Text of others on a terminal: what a terminal would act on is shown and not sent (CWE-150).
//!
//! A payload, an error of a server, a name or a lock file may hold escape sequences that move the cursor, retitle the window or
//! answer for the user, and marks that turn the order of letters around. Everything that is printed passes here.

use std::borrow::Cow;

/// The text as it may stand in one line: line breaks and everything that acts become visible escapes.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, acts, visible)
}

/// The same for a text of many lines, which keeps its lines and tabs.
pub(crate) fn shown_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| acts(c) && !matches!(c, '\n' | '\t'), visible)
}

/// JSON that stays the same JSON: inside its strings, what acts is written as `\\u….`. The control characters below U+0020
/// are escaped by JSON itself, so that those which are left are its layout.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    escaped(
        text,
        |c| acts(c) && c >= ' ',
        |c, out| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        },
    )
}

/// Control characters (C0, DEL, C1), marks and overrides of direction, separators that break lines, and invisible tags.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn visible(c: char, out: &mut String) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        other => out.push_str(&format!("\\u{{{:x}}}", other as u32)),
    }
}

fn escaped(text: &str, escapes: impl Fn(char) -> bool, write: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(&escapes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if escapes(c) { write(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_shown() {
        for (text, line) in [
            ("plain ünïcode 日本 👩\u{200d}🚀", "plain ünïcode 日本 👩\u{200d}🚀"),
            ("\u{1b}]0;owned\u{7}", "\\u{1b}]0;owned\\u{7}"),
            ("\u{9b}2J\u{90}x\u{9c}", "\\u{9b}2J\\u{90}x\\u{9c}"),
            ("a\nb\r\tc\0\u{7f}", "a\\nb\\r\\tc\\u{0}\\u{7f}"),
            ("abc\u{202e}fdp.exe\u{2066}\u{200f}\u{61c}", "abc\\u{202e}fdp.exe\\u{2066}\\u{200f}\\u{61c}"),
            ("a\u{2028}b\u{e0041}", "a\\u{2028}b\\u{e0041}"),
        ] {
            assert_eq!(shown(text), line);
            assert!(!shown(text).contains(acts));
        }
        assert_eq!(shown_lines("a\n\tb\u{1b}"), "a\n\tb\\u{1b}");
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({"k\u{9b}": "a\u{1b}\u{202e}\u{7f}\u{e0041}\n\u{0}", "n": [1, null]});
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let safe = json(&text);
            assert!(!safe.contains(|c| acts(c) && c != '\n'), "{safe}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
        }
    }
}
