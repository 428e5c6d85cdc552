//! The malformed list and the tolerated list of docs/contracts/system-c.md, one by one.

use super::{Malformed, decode};

fn refused(json: &str) -> Malformed {
    match decode(json.as_bytes()) {
        Ok(email) => panic!("accepted {json:?} as {email:?}"),
        Err(malformed) => malformed,
    }
}

fn refused_as_json(json: &str, word: &str) {
    match refused(json) {
        Malformed::Json(text) => assert!(text.contains(word), "{json:.80}: {text}"),
        other => panic!("{json:.80}: {other:?}"),
    }
}

#[test]
fn reads_the_three_spellings() {
    let pascal = r#"{"Subject":"s","Recipient":"a@x.io","Body":"<p>b</p>","ReplyTo":"r@x.io",
        "CcAddresses":["c@x.io"],"Attachments":[{"Filename":"f.txt","ContentType":"text/plain","Data":"aGk="}]}"#;
    let camel = r#"{"subject":"s","recipient":"a@x.io","body":"<p>b</p>","replyTo":"r@x.io",
        "ccAddresses":["c@x.io"],"attachments":[{"filename":"f.txt","contentType":"text/plain","data":"aGk="}]}"#;
    let snake = r#"{"subject":"s","recipient":"a@x.io","body":"<p>b</p>","reply_to":"r@x.io",
        "cc_addresses":["c@x.io"],"attachments":[{"filename":"f.txt","content_type":"text/plain","data":"aGk="}]}"#;
    let email = decode(pascal.as_bytes()).unwrap();
    assert_eq!(email.cc_addresses[0].address.to_string(), "c@x.io");
    assert_eq!(email.reply_to.as_ref().unwrap().address.to_string(), "r@x.io");
    assert_eq!(email.attachments[0].data, b"hi");
    assert_eq!(email.attachments[0].content_type, "text/plain");
    assert_eq!(decode(camel.as_bytes()).unwrap(), email);
    assert_eq!(decode(snake.as_bytes()).unwrap(), email);
}

#[test]
fn reads_the_go_producers_bytes() {
    let email = decode(
        br#"{"Subject":"SMAP - OTP VERIFICATION","Recipient":"a@x.io","Body":"\u003cb\u003e1\u003c/b\u003e","ReplyTo":"","CcAddresses":null,"Attachments":[]}"#,
    )
    .unwrap();
    assert_eq!(email.body, "<b>1</b>");
    assert!(email.reply_to.is_none() && email.cc_addresses.is_empty() && email.attachments.is_empty());
}

#[test]
fn tolerates() {
    for ok in [
        r#"{"Recipient":"a@x.io"}"#,
        r#"{"Recipient":"a@x.io","Subject":null,"Body":null,"ReplyTo":null}"#,
        r#"{"Recipient":"a@x.io","CcAddresses":null,"Attachments":null}"#,
        r#"{"Recipient":"a@x.io","Attachments":[{"Filename":"f","Data":null}]}"#,
        r#"{"Recipient":"a@x.io","Unknown":{"a":[1,-2,2.5,18446744073709551616,true,null,"x"]},"Zz":1e308}"#,
        r#"{"Recipient":"a@x.io","Subject":"a\u0085b\u2028c"}"#,
        r#"{"Recipient":"a@x.io","recipient":"a@x.io","CcAddresses":null,"cc_addresses":[]}"#,
        r#"{"Recipient":"Lan <a@x.io>"}"#,
        " \r\n\t{\"Recipient\":\"a@x.io\"}\n",
        r#"{"Recipient":"a@x.io","Subject":"\ud83d\ude00"}"#,
    ] {
        assert_eq!(decode(ok.as_bytes()).expect(ok).recipient.address.to_string(), "a@x.io");
    }
}

#[test]
fn refuses_what_is_no_json_object() {
    for (bad, word) in [
        ("", "EOF"),
        ("nope", "expected"),
        ("{\"Recipient\":\"a@x.io\"", "EOF"),
        ("{\"Recipient\":\"a@x.io\"} x", "trailing"),
        ("[]", "object"),
        ("\"text\"", "object"),
        ("null", "object"),
        ("42", "object"),
        ("{\"Recipient\":\"a@x.io\",\"Subject\":\"a\nb\"}", "control character"),
    ] {
        refused_as_json(bad, word);
    }
    assert_eq!(decode(b"{\"Recipient\":\"\xff@x.io\"}").unwrap_err(), Malformed::NotUtf8(14));
    assert_eq!(refused("\u{feff}{\"Recipient\":\"a@x.io\"}"), Malformed::ByteOrderMark);
}

#[test]
fn refuses_duplicate_keys_everywhere() {
    for bad in [
        r#"{"Recipient":"a@x.io","Recipient":"a@x.io"}"#,
        r#"{"Recipient":"a@x.io","Zz":{"k":1,"k":1}}"#,
        r#"{"Recipient":"a@x.io","Zz":1,"\u005az":2}"#,
        r#"{"Recipient":"a@x.io","Attachments":[{"Data":"","Data":""}]}"#,
        r#"{"Recipient":"a@x.io","Headers":{"X-A":"1","X-A":"2"}}"#,
    ] {
        refused_as_json(bad, "duplicate key");
    }
}

#[test]
fn refuses_lone_surrogates_and_nul_everywhere() {
    for place in [
        r#"{"Recipient":"a@x.io","Subject":"@"}"#,
        r#"{"Recipient":"a@x.io","Body":"@"}"#,
        r#"{"Recipient":"a@x.io","Zz":["@"]}"#,
        r#"{"Recipient":"a@x.io","Zz":{"@":1}}"#,
        r#"{"Recipient":"a@x.io","Attachments":[{"Filename":"@"}]}"#,
    ] {
        let at = place.rfind('@').unwrap();
        let with = |escape: &str| format!("{}{escape}{}", &place[..at], &place[at + 1..]);
        refused_as_json(&with("\\u0000"), "NUL");
        refused_as_json(&with("\\ud800"), "");
        refused_as_json(&with("\\udc00 x"), "");
    }
}

#[test]
fn refuses_recipients() {
    for bad in [
        r#"{}"#,
        r#"{"Subject":"s"}"#,
        r#"{"Recipient":null}"#,
        r#"{"Recipient":""}"#,
        r#"{"Recipient":"  "}"#,
    ] {
        assert_eq!(refused(bad), Malformed::NoRecipient, "{bad}");
    }
    for bad in [r#"{"Recipient":["a@x.io"]}"#, r#"{"Recipient":{"a":1}}"#, r#"{"Recipient":5}"#] {
        refused_as_json(bad, "string");
    }
    for bad in ["a@x.io,b@x.io", "a@x.io; b@x.io", "a@x.io b@x.io", "A <a@x.io>, B <b@x.io>", "nobody", "a@x"]
    {
        let json = format!(r#"{{"Recipient":"{bad}"}}"#);
        assert!(matches!(refused(&json), Malformed::Address { field: "Recipient", .. }), "{bad}");
    }
}

#[test]
fn refuses_copies_and_reply_to() {
    for bad in [r#"["nobody"]"#, r#"[""]"#, r#"["a@x.io,b@x.io"]"#] {
        let json = format!(r#"{{"Recipient":"a@x.io","CcAddresses":{bad}}}"#);
        assert!(matches!(refused(&json), Malformed::Address { field: "CcAddresses", .. }), "{bad}");
    }
    for bad in [r#""c@x.io""#, "{}", "5", "[null]", "[1]", "true"] {
        refused_as_json(&format!(r#"{{"Recipient":"a@x.io","cc_addresses":{bad}}}"#), "");
    }
    let json = r#"{"Recipient":"a@x.io","ReplyTo":"nobody"}"#;
    assert!(matches!(refused(json), Malformed::Address { field: "ReplyTo", .. }));
}

#[test]
fn refuses_attachments() {
    for bad in ["aGk", "a*k=", "aGk=x", "aG k=", "_-8="] {
        let json = format!(r#"{{"Recipient":"a@x.io","Attachments":[{{"Data":""}},{{"Data":"{bad}"}}]}}"#);
        assert_eq!(refused(&json), Malformed::Base64(1), "{bad}");
    }
    for bad in [r#""x""#, "{}", "[1]", "[null]", r#"[{"Data":5}]"#, r#"[{"Filename":[]}]"#] {
        refused_as_json(&format!(r#"{{"Recipient":"a@x.io","Attachments":{bad}}}"#), "");
    }
}

#[test]
fn refuses_mistyped_fields() {
    for bad in [r#""Subject":5"#, r#""Body":{}"#, r#""ReplyTo":[]"#, r#""Headers":[]"#, r#""Text":false"#] {
        refused_as_json(&format!(r#"{{"Recipient":"a@x.io",{bad}}}"#), "");
    }
}

#[test]
fn refuses_two_spellings_that_disagree() {
    for (bad, field) in [
        (r#""Subject":"a","subject":"b""#, "Subject"),
        (r#""Subject":"a","subject":null"#, "Subject"),
        (r#""recipient":"b@x.io""#, "Recipient"),
        (r#""ReplyTo":"a@x.io","reply_to":"b@x.io""#, "ReplyTo"),
        (r#""CcAddresses":[],"ccAddresses":["b@x.io"]"#, "CcAddresses"),
        (r#""Attachments":[],"attachments":[{"Data":""}]"#, "Attachments"),
        (r#""Attachments":[{"ContentType":"a/b","content_type":"c/d"}]"#, "ContentType"),
    ] {
        assert_eq!(
            refused(&format!(r#"{{"Recipient":"a@x.io",{bad}}}"#)),
            Malformed::Contradiction(field),
            "{bad}"
        );
    }
}

#[test]
fn refuses_line_breaks_in_header_fields_and_file_names() {
    for (bad, field) in [
        (r#""Subject":"a\r\nBcc: e@e.io""#, "Subject"),
        (r#""Subject":"a\nb""#, "Subject"),
        (r#""ReplyTo":"r@x.io\r\n""#, "ReplyTo"),
        (r#""CcAddresses":["c@x.io\n"]"#, "CcAddresses"),
        (r#""Attachments":[{"Filename":"a\rb"}]"#, "Filename"),
        (r#""Attachments":[{"ContentType":"text/plain\r\nX: y"}]"#, "ContentType"),
        (r#""Headers":{"X-A":"1\r\nBcc: e@e.io"}"#, "Headers"),
        (r#""Headers":{"X-A\nB":"1"}"#, "Headers"),
    ] {
        assert_eq!(
            refused(&format!(r#"{{"Recipient":"a@x.io",{bad}}}"#)),
            Malformed::LineBreak(field),
            "{bad}"
        );
    }
    assert_eq!(refused(r#"{"Recipient":"a@x.io\r\nRCPT TO:<e@e.io>"}"#), Malformed::LineBreak("Recipient"));
    assert!(decode(br#"{"Recipient":"a@x.io","Body":"a\r\nb\nc"}"#).is_ok());
}

#[test]
fn deep_json_is_a_clean_error_and_ten_megabytes_are_fine() {
    for open in ["[", "{\"a\":"] {
        refused_as_json(&format!("{{\"Recipient\":\"a@x.io\",\"Zz\":{}", open.repeat(10_000)), "recursion");
    }
    let body = "é".repeat(5 << 20);
    let email = decode(format!(r#"{{"Recipient":"a@x.io","Body":"{body}"}}"#).as_bytes()).unwrap();
    assert_eq!(email.body.len(), 10 << 20);
}

#[test]
fn errors_do_not_leak_addresses() {
    let text = refused(r#"{"Recipient":"a@x.io","secret.person@x.io":1,"secret.person@x.io":2}"#).to_string();
    assert!(!text.contains("secret.person"), "{text}");
}

#[test]
fn errors_do_not_repeat_values() {
    for value in [r#""493027""#, "493027", "-493027.5", r#"{"493027":1}"#, r#"["493027"]"#] {
        for field in ["Body", "CcAddresses", "Attachments", "Headers"] {
            let Err(problem) = decode(format!(r#"{{"Recipient":"a@x.io","{field}":{value}}}"#).as_bytes())
            else {
                continue;
            };
            assert!(!problem.to_string().contains("493027"), "{problem}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn no_recipient_panics_and_what_passes_is_safe(text in ".{0,60}") {
        let json = serde_json::json!({ "Recipient": text, "Subject": text, "CcAddresses": [text] });
        if let Ok(email) = decode(json.to_string().as_bytes()) {
            proptest::prop_assert!(email.recipient.address.to_string().is_ascii());
            proptest::prop_assert!(!email.subject.contains(['\r', '\n', '\0']));
        }
    }
}

#[test]
fn refuses_longer_lists_than_a_mail_may_have() {
    let copies = |count: usize| {
        format!(r#"{{"Recipient":"a@x.io","CcAddresses":[{}]}}"#, vec!["\"b@x.io\""; count].join(","))
    };
    assert_eq!(decode(copies(50).as_bytes()).unwrap().cc_addresses.len(), 50);
    refused_as_json(&copies(51), "CcAddresses has more than 50 entries");
    // Whatever follows: reading stops there.
    refused_as_json(&copies(51).replace("]}", ",{[no json"), "CcAddresses has more than 50 entries");
    let files =
        |count: usize| format!(r#"{{"Recipient":"a@x.io","Attachments":[{}]}}"#, vec!["{}"; count].join(","));
    assert_eq!(decode(files(10).as_bytes()).unwrap().attachments.len(), 10);
    refused_as_json(&files(11), "Attachments has more than 10 entries");
    let headers = |count: usize| {
        let entries: Vec<_> = (0..count).map(|n| format!(r#""X-{n}":"v""#)).collect();
        format!(r#"{{"Recipient":"a@x.io","Headers":{{{}}}}}"#, entries.join(","))
    };
    assert_eq!(decode(headers(20).as_bytes()).unwrap().headers.len(), 20);
    refused_as_json(&headers(21), "Headers has more than 20 entries");
}
