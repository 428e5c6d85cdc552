//! Bytes of `smtp_send_email`: what is read is written and read again, in every spelling, and becomes a mail that
//! keeps to the wire, or a refusal that says why and repeats nothing secret.
//!
//! The composed message is taken apart line by line: no header may stand there that nobody asked for.

use backshift_mail::{Composer, EmailData, Malformed, Message, decode};
use mail_parser::PartType;
use serde_json::{Map, Value};

use crate::{
    cost,
    log_line::{self, SECRET},
};

/// Headers that a composed mail may begin its lines with, besides those of the payload.
const OURS: [&str; 11] = [
    "from",
    "to",
    "cc",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "auto-submitted",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
];

/// One message as it came from the broker.
pub fn email_data(bytes: &[u8]) {
    let read = cost::within("decode", bytes.len(), 40, || decode(bytes));
    let typed = serde_json::from_slice::<EmailData>(bytes);
    assert_eq!(read.as_ref().ok(), typed.as_ref().ok(), "the two ways of reading differ");
    match read {
        Ok(email) => {
            is_written_and_read_again(&email);
            composes(&email);
        }
        Err(problem) => is_told_without_secrets(&problem),
    }
}

fn is_told_without_secrets(problem: &Malformed) {
    let text = problem.to_string();
    log_line::assert_is_one(&text);
    log_line::assert_addresses_are_masked(&text);
    // Keys are the producer's own words and may be quoted; values may not.
    let quotes_a_key = text.contains("duplicate key");
    let is_a_place = text.contains(&format!("column {SECRET}")) || text.contains(&format!("byte {SECRET}"));
    assert!(quotes_a_key || is_a_place || !text.contains(SECRET), "a value is repeated: {text}");
}

fn is_written_and_read_again(email: &EmailData) {
    let written = email.encode();
    let again = decode(&written).expect("what we write can be read");
    assert_eq!(*email, again);
    assert_eq!(written, again.encode(), "writing is not stable");
    let value: Value = serde_json::from_slice(&written).expect("what we write is JSON");
    for spelling in [camel as fn(&str) -> String, snake] {
        let respelled = serde_json::to_vec(&respelled(&value, spelling)).expect("a value is JSON");
        let again = decode(&respelled).expect("every spelling can be read");
        assert_eq!(sorted(email), sorted(&again));
    }
}

/// JSON objects have no order; the headers of a mail have one.
fn sorted(email: &EmailData) -> EmailData {
    let mut email = email.clone();
    email.headers.sort();
    email
}

/// The same mail with its fields, and those of its attachments, spelled in another way.
fn respelled(value: &Value, spelling: fn(&str) -> String) -> Value {
    let Value::Object(fields) = value else { return value.clone() };
    let respell = |(key, inner): (&String, &Value)| match (key.as_str(), inner) {
        ("Attachments", Value::Array(files)) => {
            (spelling(key), files.iter().map(|file| respelled(file, spelling)).collect())
        }
        _ => (spelling(key), inner.clone()),
    };
    Value::Object(fields.iter().map(respell).collect::<Map<_, _>>())
}

fn camel(key: &str) -> String {
    let mut letters = key.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

fn snake(key: &str) -> String {
    let mut out = String::new();
    for (place, letter) in key.chars().enumerate() {
        if letter.is_ascii_uppercase() && place > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

fn composes(email: &EmailData) {
    let sender = "no-reply@shop.example".parse::<backshift_mail::EmailAddress>().expect("it is an address");
    let composer = Composer::new(sender.into());
    let job = "019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55";
    let given = email.encode().len();
    let compose = || composer.compose(email, job, jiff::Timestamp::UNIX_EPOCH);
    match cost::within("compose", given, 40, compose) {
        Err(problem) => log_line::assert_is_one(&problem.to_string()),
        Ok(message) => {
            let again =
                composer.compose(email, job, jiff::Timestamp::UNIX_EPOCH).expect("it was built before");
            assert_eq!(message.bytes(), again.bytes(), "two attempts of one job differ");
            keeps_to_the_wire(&message);
            has_only_its_headers(&message, email);
            says_what_it_was_given(&message, email);
        }
    }
}

fn keeps_to_the_wire(message: &Message) {
    let text = std::str::from_utf8(message.bytes()).expect("a message is ASCII");
    assert!(text.is_ascii());
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert!(lines.iter().all(|line| !line.contains(['\r', '\n']) && line.len() <= 998), "a line is no line");
    for recipient in message.recipients() {
        let path = recipient.to_string();
        let unsound = |c: char| c.is_control() || c.is_whitespace() || "<>\"".contains(c);
        assert!(path.is_ascii() && path.len() <= 254 && !path.contains(unsound), "{path:?}");
    }
}

fn has_only_its_headers(message: &Message, email: &EmailData) {
    let text = String::from_utf8_lossy(message.bytes());
    let (head, _) = text.split_once("\r\n\r\n").expect("a head ends with an empty line");
    let mut seen = std::collections::BTreeSet::new();
    for line in head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])) {
        let (name, _) = line.split_once(':').expect("a header has a name");
        let name = name.to_ascii_lowercase();
        let given = email.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(&name));
        assert!(OURS.contains(&name.as_str()) || given, "nobody asked for {name:?}");
        assert!(seen.insert(name.clone()), "{name:?} stands there twice");
    }
}

/// Read by somebody else's parser; white space at the folds may differ.
fn says_what_it_was_given(message: &Message, email: &EmailData) {
    let parsed =
        mail_parser::MessageParser::default().parse(message.bytes()).expect("a message can be parsed");
    let to = parsed.to().and_then(|to| to.first()).and_then(|to| to.address()).unwrap_or_default();
    assert_eq!(to, email.recipient.address.to_string());
    assert_eq!(words(parsed.subject().unwrap_or_default()), words(&email.subject), "another subject");
    assert_eq!(parsed.attachment_count(), email.attachments.len());
    for (file, given) in parsed.attachments().zip(&email.attachments) {
        // Of text the parser shows characters and not bytes.
        if let PartType::Binary(data) | PartType::InlineBinary(data) = &file.body {
            assert_eq!(**data, given.data, "an attachment changed");
        }
    }
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
