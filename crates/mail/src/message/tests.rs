//! What a composed message must look like on the wire, read back with an independent parser.

use mail_parser::{MessageParser, MimeHeaders as _};

use super::{ComposeError, Composer, Limits, Message};
use crate::email::{Attachment, EmailData};
use crate::named_address::NamedAddress;

fn composer() -> Composer {
    Composer::new(NamedAddress::parse("Đội ngũ SMAP <noreply@smap.example>").unwrap())
}

fn email() -> EmailData {
    EmailData::new("lan@x.io".parse().unwrap(), "Hello", "<p>Hi <a href=\"https://x.io/v\">there</a></p>")
}

fn composed(email: &EmailData) -> Message {
    composer().compose(email, "0199-job", jiff::Timestamp::UNIX_EPOCH).unwrap()
}

fn text_of(message: &Message) -> String {
    String::from_utf8(message.bytes().to_vec()).unwrap()
}

fn header_count(text: &str, name: &str) -> usize {
    let head = text.split("\r\n\r\n").next().unwrap();
    head.lines()
        .filter(|l| l.to_ascii_lowercase().starts_with(&format!("{}:", name.to_ascii_lowercase())))
        .count()
}

#[test]
fn has_the_headers_exactly_once() {
    let message = composed(&email());
    let text = text_of(&message);
    for name in
        ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Auto-Submitted", "Content-Type"]
    {
        assert_eq!(header_count(&text, name), 1, "{name} in\n{text}");
    }
    assert!(text.contains("Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"), "{text}");
    assert!(text.contains("Message-ID: <0199-job@smap.example>\r\n"), "{text}");
    assert!(text.contains("Auto-Submitted: auto-generated\r\n"));
    let parsed = MessageParser::default().parse(message.bytes()).unwrap();
    let from = parsed.from().unwrap().first().unwrap();
    assert_eq!(from.name(), Some("Đội ngũ SMAP"));
    assert_eq!(from.address(), Some("noreply@smap.example"));
    assert_eq!(message.envelope().from.to_string(), "noreply@smap.example");
}

#[test]
fn is_text_first_then_html() {
    let message = composed(&email());
    let text = text_of(&message);
    assert!(text.contains("multipart/alternative"), "{text}");
    assert!(text.find("text/plain").unwrap() < text.find("text/html").unwrap());
    let parsed = MessageParser::default().parse(message.bytes()).unwrap();
    assert!(parsed.body_text(0).unwrap().contains("there [https://x.io/v]"));
    assert!(parsed.body_html(0).unwrap().contains("<a href=\"https://x.io/v\">there</a>"));
    let mut own = email();
    own.text = Some("own words".into());
    let message = composed(&own);
    let parsed = MessageParser::default().parse(message.bytes()).unwrap();
    assert_eq!(parsed.body_text(0).unwrap().trim(), "own words");
}

#[test]
fn carries_everything() {
    let mut full = email();
    full.reply_to = Some(NamedAddress::parse("\"Help, Desk\" <help@x.io>").unwrap());
    full.cc_addresses =
        vec![NamedAddress::parse("c@x.io").unwrap(), NamedAddress::parse("Lan@X.io").unwrap()];
    full.headers =
        vec![("X-Campaign".into(), "xuân".into()), ("List-Unsubscribe".into(), "<https://x.io/u>".into())];
    full.attachments = vec![
        Attachment {
            filename: "Hóa đơn tháng mười một năm hai không hai sáu.pdf".into(),
            content_type: "application/pdf".into(),
            data: (0..=255).collect(),
        },
        Attachment { filename: "a.txt".into(), content_type: String::new(), data: b"x\n.\ny".to_vec() },
    ];
    let message = composed(&full);
    let parsed = MessageParser::default().parse(message.bytes()).unwrap();
    assert!(text_of(&message).contains("multipart/mixed"));
    assert_eq!(parsed.reply_to().unwrap().first().unwrap().name(), Some("Help, Desk"));
    assert_eq!(parsed.cc().unwrap().clone().into_list().len(), 2);
    assert_eq!(message.recipients().count(), 2, "the copy to the recipient itself is not sent twice");
    assert_eq!(parsed.header_raw("X-Campaign").map(str::trim).map(str::is_ascii), Some(true));
    assert_eq!(parsed.header_raw("List-Unsubscribe").map(str::trim), Some("<https://x.io/u>"));
    let files: Vec<_> = parsed.attachments().collect();
    assert_eq!(files[0].attachment_name(), Some("Hóa đơn tháng mười một năm hai không hai sáu.pdf"));
    assert_eq!(files[0].contents(), (0..=255).collect::<Vec<u8>>());
    assert_eq!(files[1].contents(), b"x\n.\ny");
}

#[test]
fn subjects_survive_whatever_they_hold() {
    for subject in [
        "",
        "SMAP - XÁC THỰC OTP",
        "a\u{85}b\u{2028}c",
        "tab\tand bell\u{7}",
        "=?utf-8?B?AAAA?=",
        "  spaces  around  ",
        &"long ".repeat(500),
        &"x".repeat(5_000),
        &"認証コード".repeat(300),
        "😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀",
    ] {
        let mut mail = email();
        mail.subject = subject.to_owned();
        let message = composed(&mail);
        let text = text_of(&message);
        assert!(text.lines().all(|l| l.len() <= 78 || !l.contains(' ')), "{subject:.40}");
        let parsed = MessageParser::default().parse(message.bytes()).unwrap();
        let read = parsed.subject().unwrap_or_default();
        assert_eq!(read.trim(), subject.trim(), "{text:.600}");
    }
}

#[test]
fn lines_are_short_and_crlf_whatever_the_body() {
    for body in [
        "x".repeat(100_000),
        "é".repeat(50_000),
        "a\nb\rc\r\nd\n\r".repeat(50),
        "x\r\n.\r\nMAIL FROM:<e@e.io>\r\n".into(),
    ] {
        let mut mail = email();
        mail.body.clone_from(&body);
        mail.text = Some(body.clone());
        let message = composed(&mail);
        let text = text_of(&message);
        assert!(text.split("\r\n").all(|l| l.len() <= 998 && !l.contains(['\r', '\n'])));
        let parsed = MessageParser::default().parse(message.bytes()).unwrap();
        let want = String::from_utf8(super::canonical_line_ends(body.as_bytes())).unwrap();
        assert_eq!(parsed.body_html(0).unwrap().trim_end(), want.trim_end());
    }
}

#[test]
fn refuses_injection_everywhere() {
    for bad in ["a\r\nBcc: e@e.io", "a\nb", "a\rb", "a\0b"] {
        let mut subject = email();
        subject.subject = bad.into();
        let mut name = email();
        name.attachments =
            vec![Attachment { filename: bad.into(), content_type: String::new(), data: vec![] }];
        let mut kind = email();
        kind.attachments = vec![Attachment { filename: "a".into(), content_type: bad.into(), data: vec![] }];
        let mut value = email();
        value.headers = vec![("X-A".into(), bad.into())];
        let mut key = email();
        key.headers = vec![(format!("X-{bad}"), "1".into())];
        for mail in [subject, name, kind, value, key] {
            let error = composer().compose(&mail, "j", jiff::Timestamp::UNIX_EPOCH).unwrap_err();
            assert!(matches!(error, ComposeError::HeaderInjection(_)), "{error:?}");
        }
    }
}

#[test]
fn custom_headers_are_allow_listed() {
    for name in ["Bcc", "To", "From", "Subject", "DKIM-Signature", "Received", "X", "X-", "X A", "X-ü", "X:Y"]
    {
        let mut mail = email();
        mail.headers = vec![(name.into(), "1".into())];
        let error = composer().compose(&mail, "j", jiff::Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(error, ComposeError::HeaderNotAllowed(name.into()));
    }
    let mut twice = email();
    twice.headers = vec![("X-A".into(), "1".into()), ("x-a".into(), "2".into())];
    let error = composer().compose(&twice, "j", jiff::Timestamp::UNIX_EPOCH).unwrap_err();
    assert_eq!(error, ComposeError::HeaderTwice("x-a".into()));
}

#[test]
fn guards_size_and_counts() {
    let small = Limits { message_bytes: 10_000, attachments: 1, copies: 1, headers: 1, header_bytes: 100 };
    let refused = |mail: &EmailData| {
        composer().with_limits(small).compose(mail, "j", jiff::Timestamp::UNIX_EPOCH).unwrap_err()
    };
    let mut big = email();
    big.body = "x".repeat(10_001);
    assert!(matches!(refused(&big), ComposeError::TooLarge { .. }));
    let file =
        |size: usize| Attachment { filename: "f".into(), content_type: String::new(), data: vec![0; size] };
    let mut grows_by_base64 = email();
    grows_by_base64.attachments = vec![file(9_000)];
    assert!(matches!(refused(&grows_by_base64), ComposeError::TooLarge { .. }));
    let mut files = email();
    files.attachments = vec![file(1), file(1)];
    assert!(matches!(refused(&files), ComposeError::TooMany { what: "attachments", .. }));
    let mut copies = email();
    copies.cc_addresses =
        vec![NamedAddress::parse("c@x.io").unwrap(), NamedAddress::parse("d@x.io").unwrap()];
    assert!(matches!(refused(&copies), ComposeError::TooMany { what: "copies", .. }));
    let mut subject = email();
    subject.subject = "é".repeat(51);
    assert!(matches!(refused(&subject), ComposeError::HeaderTooLong { have: 102, .. }));
    let mut header = email();
    header.headers = vec![("X-A".into(), "v".repeat(101))];
    assert_eq!(refused(&header).to_string(), "the header \"X-A\" has 101 bytes, the limit is 100");
}

#[test]
fn message_id_is_stable_and_always_sound() {
    let composer = composer();
    assert_eq!(composer.message_id("a-1"), "<a-1@smap.example>");
    let odd = composer.message_id("x>\r\nBcc: e@e.io");
    assert_eq!(odd, composer.message_id("x>\r\nBcc: e@e.io"));
    assert!(odd.starts_with('<') && !odd.contains(['\r', ' ']), "{odd}");
    assert_ne!(odd, composer.message_id("x"));
    for odd in ["", "a..b", ".a", "é"] {
        assert!(composer.message_id(odd).is_ascii() && !composer.message_id(odd).contains(".."));
    }
}

#[test]
fn an_empty_mail_is_a_mail() {
    let mut empty = email();
    empty.body.clear();
    empty.subject.clear();
    let message = composed(&empty);
    assert!(text_of(&message).contains("text/plain"));
    assert!(!text_of(&message).contains("multipart"));
}

#[test]
fn many_copies_fold() {
    let mut mail = email();
    mail.cc_addresses = (0..50)
        .map(|n| {
            NamedAddress::parse(&format!("Người nhận số {n} có tên rất dài <person.number.{n}@x.io>"))
                .unwrap()
        })
        .collect();
    let message = composed(&mail);
    assert!(text_of(&message).split("\r\n").all(|l| l.len() <= 120));
    let parsed = MessageParser::default().parse(message.bytes()).unwrap();
    let list = parsed.cc().unwrap().clone().into_list();
    assert_eq!(list.len(), 50);
    assert_eq!(list[49].name.as_deref(), Some("Người nhận số 49 có tên rất dài"));
}
