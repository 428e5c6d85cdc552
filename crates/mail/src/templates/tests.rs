//! Rendering: languages, strictness, escaping, bounds.

use serde_json::json;

use super::{EMAIL_VERIFICATION, TemplateError, TemplateSource, Templates, VERIFICATION_CODE};

fn one(subject: &str, html: &str, text: &str) -> Templates {
    let mut templates = Templates::shipped();
    let source = TemplateSource { subject: subject.into(), html: html.into(), text: text.into() };
    templates.add("own", "en", source).unwrap();
    templates
}

#[test]
fn every_shipped_template_renders() {
    let templates = Templates::shipped();
    let all: Vec<_> = templates.names().collect();
    let languages = || vec!["en", "ja", "vi"];
    assert_eq!(all, [(EMAIL_VERIFICATION, languages()), (VERIFICATION_CODE, languages())]);
    for (name, locale, subject, word) in [
        (EMAIL_VERIFICATION, "en", "SMAP - OTP VERIFICATION", "Hello Nguyễn Thị Lan"),
        (EMAIL_VERIFICATION, "vi", "SMAP - XÁC THỰC OTP", "Xin chào Nguyễn Thị Lan"),
        (EMAIL_VERIFICATION, "ja", "SMAP - ワンタイムパスワードのご確認", "Nguyễn Thị Lan 様"),
        (VERIFICATION_CODE, "en", "Lantern: your verification code", "for Lantern:"),
        (VERIFICATION_CODE, "vi", "Lantern: mã xác thực của bạn", "tại Lantern:"),
        (VERIFICATION_CODE, "ja", "Lantern: 認証コードのお知らせ", "Lantern のメールアドレス"),
    ] {
        let mail = templates.preview(name, locale).unwrap();
        assert_eq!(mail.subject.contains("SMAP"), name == EMAIL_VERIFICATION);
        assert_eq!((mail.subject.as_str(), mail.locale.as_str()), (subject, locale));
        for part in [&mail.html, &mail.text] {
            assert!(part.contains("493027") && part.contains("10") && part.contains(word), "{part}");
            assert!(part.contains("support@example.org"), "{part}");
        }
        assert!(mail.html.contains("max-width: 36rem") && mail.html.starts_with("<!doctype html>"));
        assert!(mail.html.contains(&format!("lang=\"{locale}\"")));
        let made = crate::html_to_text(&mail.html);
        assert!(made.contains("493027"), "{made}");
    }
}

#[test]
fn falls_back_to_a_language_that_is_there() {
    let templates = Templates::shipped();
    for (asked, found) in [("vi-VN", "vi"), ("ja_JP.UTF-8", "ja"), ("fr", "en"), ("", "en"), ("EN-gb", "en")]
    {
        assert_eq!(templates.preview(EMAIL_VERIFICATION, asked).unwrap().locale, found);
    }
    assert_eq!(templates.preview("nothing", "en"), Err(TemplateError::Unknown("nothing".into())));
}

#[test]
fn missing_variables_are_all_named() {
    let error = Templates::shipped().render(EMAIL_VERIFICATION, "vi", &json!({"OTP": "493027"})).unwrap_err();
    let TemplateError::Missing { names, .. } = &error else { panic!("{error:?}") };
    assert_eq!(names, &["Name", "OTPExpireMin"]);
    assert!(!error.to_string().contains("493027"));
    let mail = Templates::shipped()
        .render(EMAIL_VERIFICATION, "en", &json!({"Name": "n", "OTP": "1", "OTPExpireMin": 5}))
        .unwrap();
    assert!(!mail.html.contains("mailto:"), "Email and SupportMail are optional");
}

#[test]
fn data_must_be_an_object() {
    for odd in [json!(null), json!([1]), json!("x"), json!(5)] {
        assert_eq!(Templates::shipped().render(EMAIL_VERIFICATION, "en", &odd), Err(TemplateError::Data));
    }
}

#[test]
fn escapes_in_html_only() {
    let name = "<img src=x onerror=\"a()\"> & 'co'";
    let mail = one("{{ n }}", "<p title=\"{{ n }}\">{{ n }}</p>", "{{ n }}").render(
        "own",
        "en",
        &json!({"n": name}),
    );
    let mail = mail.unwrap();
    assert_eq!((mail.subject.as_str(), mail.text.as_str()), (name, name));
    assert!(!mail.html.contains("<img") && !mail.html.contains("onerror=\"a"), "{}", mail.html);
}

#[test]
fn a_subject_is_one_line_whatever_the_data() {
    let mail = one("Hello {{ Name }}", "x", "x").render("own", "en", &json!({"Name": "a\r\nBcc: e@e.io\0"}));
    assert_eq!(mail.unwrap().subject, "Hello a  Bcc: e@e.io");
}

#[test]
fn links_are_safe_or_refused() {
    let templates = one("s", "<a href=\"{{ u|safe_url }}\">x</a>", "t");
    assert!(
        templates
            .render("own", "en", &json!({"u": "https://x.io/?a=1&b=2"}))
            .unwrap()
            .html
            .contains("https:")
    );
    for bad in ["javascript:alert(1)", "JaVaScRiPt:x", "data:text/html,x", "//x.io", "https://x.io/\nx", ""] {
        let error = templates.render("own", "en", &json!({"u": bad})).unwrap_err();
        assert!(matches!(error, TemplateError::Broken { .. }), "{bad}: {error:?}");
    }
}

#[test]
fn loops_and_floods_end() {
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
    let flood = "{% for a in range(100) %}{{ big }}{% endfor %}";
    let include = "{% include 'own/en.txt' %}";
    let data = json!({"big": "y".repeat(20_000)});
    for text in [endless, flood, include] {
        let error = one("s", "h", text).render("own", "en", &data).unwrap_err();
        assert!(matches!(&error, TemplateError::Broken { what, .. } if what.len() < 300), "{error}");
    }
}

#[test]
fn syntax_errors_are_found_when_added() {
    let source = TemplateSource { subject: "{{ x".into(), html: String::new(), text: String::new() };
    let error = Templates::shipped().add("own", "en", source).unwrap_err();
    assert!(error.to_string().contains("line 1"), "{error}");
}
