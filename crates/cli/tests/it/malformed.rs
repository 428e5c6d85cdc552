//! The malformed list of docs/contracts/system-c.md, one by one: nothing is sent, nothing is lost, the next mail goes on.

use crate::scene::SystemC;

/// What is wrong, and the bytes.
fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let deep = format!("{{\"Recipient\":\"a@x.io\",\"Zz\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let mut all: Vec<(&str, Vec<u8>)> = [
        ("empty", ""),
        ("no JSON", "nope"),
        ("truncated", r#"{"Recipient":"a@x.io","Subject":"s"#),
        ("an array", r#"[{"Recipient":"a@x.io"}]"#),
        ("null", "null"),
        ("text", r#""a@x.io""#),
        ("duplicate key", r#"{"Recipient":"a@x.io","Recipient":"b@x.io"}"#),
        ("nested duplicate key", r#"{"Recipient":"a@x.io","Zz":{"k":1,"k":2}}"#),
        ("byte order mark", "\u{feff}{\"Recipient\":\"a@x.io\"}"),
        ("lone surrogate", r#"{"Recipient":"a@x.io","Subject":"\ud800"}"#),
        ("no recipient", r#"{"Subject":"s","Body":"b"}"#),
        ("empty recipient", r#"{"Recipient":""}"#),
        ("null recipient", r#"{"Recipient":null}"#),
        ("recipient is a list", r#"{"Recipient":["a@x.io"]}"#),
        ("several addresses", r#"{"Recipient":"a@x.io, b@x.io"}"#),
        ("several addresses with semicolon", r#"{"Recipient":"a@x.io;b@x.io"}"#),
        ("no address", r#"{"Recipient":"nobody"}"#),
        ("invalid copy", r#"{"Recipient":"a@x.io","CcAddresses":["nobody"]}"#),
        ("copies are text", r#"{"Recipient":"a@x.io","CcAddresses":"c@x.io"}"#),
        ("broken base64", r#"{"Recipient":"a@x.io","Attachments":[{"Filename":"f","Data":"a*b="}]}"#),
        ("both spellings differ", r#"{"Recipient":"a@x.io","ReplyTo":"b@x.io","reply_to":"c@x.io"}"#),
        ("NUL in the body", r#"{"Recipient":"a@x.io","Body":"a\u0000b"}"#),
        ("NUL in an unknown field", r#"{"Recipient":"a@x.io","Zz":"\u0000"}"#),
        ("line feed in the subject", r#"{"Recipient":"a@x.io","Subject":"a\nBcc: e@e.io"}"#),
        ("carriage return in the recipient", r#"{"Recipient":"a@x.io\rRCPT TO:<e@e.io>"}"#),
        ("line break in reply-to", r#"{"Recipient":"a@x.io","ReplyTo":"r@x.io\r\n"}"#),
        (
            "line break in a file name",
            r#"{"Recipient":"a@x.io","Attachments":[{"Filename":"a\nb","Data":""}]}"#,
        ),
        ("mistyped subject", r#"{"Recipient":"a@x.io","Subject":5}"#),
    ]
    .map(|(what, text)| (what, text.as_bytes().to_vec()))
    .into();
    all.push(("not UTF-8", b"{\"Recipient\":\"a\xff@x.io\"}".to_vec()));
    all.push(("10,000 deep", deep.into_bytes()));
    all
}

#[tokio::test]
async fn each_goes_to_the_dead_letters_with_its_bytes_and_the_reason() {
    let Some(system) = SystemC::new().await else { return };
    let worker = system.worker().await;
    for (what, body) in bodies() {
        system.vhost.publish_bare(&body).await;
        let dead = system.vhost.take("smtp_send_email.dlq").await;
        assert_eq!(dead.body, body, "{what}: byte for byte");
        assert_eq!(
            dead.header("backshift-reason").as_deref(),
            Some("malformed"),
            "{what}: {:?}",
            dead.properties
        );
        assert_eq!(dead.header("backshift-source").as_deref(), Some("smtp_send_email"), "{what}");
        assert_eq!(dead.header("backshift-attempt").as_deref(), Some("1"), "{what}");
        assert!(
            dead.header("backshift-error").is_some_and(|text| !text.is_empty() && !text.contains("a@x.io")),
            "{what}"
        );
        let seen: jiff::Timestamp = dead.header("backshift-first-seen").expect("first seen").parse().unwrap();
        assert!((jiff::Timestamp::now() - seen).total(jiff::Unit::Second).unwrap().abs() < 60.0, "{what}");
        assert_eq!(dead.properties.content_type().as_ref().unwrap().as_str(), "text/plain", "{what}");
    }
    let queue = system.vhost.queue("smtp_send_email.dlq").expect("the dead-letter queue");
    assert_eq!((queue["type"].as_str(), queue["durable"].as_bool()), (Some("quorum"), Some(true)));
    system.vhost.publish_mail("next@example.com", "after all that").await;
    system.smtp.wait_for("next@example.com", 1).await;
    assert_eq!(system.smtp.mails().len(), 1);
    assert_eq!(system.vhost.depth("smtp_send_email.dlq").await, Some(0));
    assert!(!worker.output().contains("panicked"), "{}", worker.output());
}
