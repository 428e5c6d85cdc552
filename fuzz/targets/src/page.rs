//! What a page shows of a payload and of other people's words: no address, no invisible character, and nothing that
//! stands below a key such as `otp` or `password`.

use backshift_http::pages::fuzzing;
use serde_json::Value;

use crate::{cost, log_line};

/// One payload.
pub fn page(bytes: &[u8]) {
    let shown = cost::within("a payload", bytes.len(), 256, || fuzzing::payload(bytes));
    assert!(shown.lines().count() <= 201, "{} lines", shown.lines().count());
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'));
    let text = String::from_utf8_lossy(bytes);
    let told = cost::within("a word", bytes.len(), 64, || fuzzing::said(&text, 160));
    assert!(told.chars().count() <= 161 && !told.chars().any(char::is_control), "{told:?}");
    log_line::assert_addresses_are_masked(&told);
    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
        log_line::assert_addresses_are_masked(&shown);
        hides(&value, &shown);
    }
}

/// Every text below a secret's key is gone, unless the same text also stands elsewhere.
fn hides(value: &Value, shown: &str) {
    let (mut secret, mut open) = (Vec::new(), Vec::new());
    sort_out(value, false, &mut secret, &mut open);
    for text in secret.iter().filter(|text| text.len() >= 6) {
        let elsewhere = open.iter().any(|other| other.contains(text.as_str()));
        assert!(elsewhere || !shown.contains(text.as_str()), "{text:?} is shown: {shown}");
    }
}

fn sort_out(value: &Value, is_secret: bool, secret: &mut Vec<String>, open: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let small = key.to_ascii_lowercase();
                let names_one =
                    ["password", "otp", "secret", "token"].iter().any(|word| small.contains(word));
                open.push(key.clone());
                sort_out(inner, is_secret || names_one, secret, open);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| sort_out(item, is_secret, secret, open)),
        Value::String(text) if is_secret => secret.push(text.clone()),
        Value::String(text) => open.push(text.clone()),
        Value::Number(number) if is_secret => secret.push(number.to_string()),
        Value::Number(number) => open.push(number.to_string()),
        Value::Bool(_) | Value::Null => {}
    }
}
