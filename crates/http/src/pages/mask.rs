//! A payload as it may be shown: addresses masked, secrets hidden, long text cut with an end mark.

use backshift_mail::mask_text;
use serde_json::Value;

const LONGEST: usize = 160;
const SECRET_WORDS: [&str; 6] = ["password", "secret", "token", "otp", "code", "authorization"];

/// Pretty JSON, masked; bytes that are no JSON are shown by their size.
pub(super) fn payload(bytes: &[u8]) -> String {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(mut value) => {
            hide(&mut value);
            serde_json::to_string_pretty(&value).unwrap_or_default()
        }
        Err(_) if bytes.is_empty() => "(empty)".to_owned(),
        Err(_) => format!("({} bytes that are no JSON)", bytes.len()),
    }
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                let key = key.to_ascii_lowercase();
                match inner {
                    Value::String(text)
                        if SECRET_WORDS.iter().any(|w| key.contains(w)) && !text.is_empty() =>
                    {
                        *text = "(hidden)".to_owned();
                    }
                    other => hide(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::String(text) => *text = shown(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn shown(text: &str) -> String {
    let size = text.chars().count();
    if size > LONGEST {
        return format!("<{size} characters>");
    }
    if text.contains('@') { mask_text(text) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_secrets_and_long_text_are_not_shown() {
        let text =
            payload(br#"{"Recipient":"anna@example.com","password":"hunter2","Body":"<p>0000</p>","n":1}"#);
        assert!(text.contains("an***@example.com") && !text.contains("anna@"), "{text}");
        assert!(!text.contains("hunter2") && text.contains("\"n\": 1"));
        let long = format!("{{\"Body\":\"{}\"}}", "x".repeat(500));
        assert!(payload(long.as_bytes()).contains("<500 characters>"));
        assert_eq!(payload(&[0xff, 0xfe]), "(2 bytes that are no JSON)");
    }
}
