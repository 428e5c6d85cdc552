//! Mail templates over any data: bounded, one line of subject, nothing of the data as markup, no value in an error.
//!
//! Input: a line with the locale, then the data as JSON. Templates themselves are the operator's and are not fuzzed.

use std::sync::LazyLock;

use backshift_mail::{
    Templates,
    templates::{Rendered, TemplateError, TemplateSource},
};
use serde_json::Value;

use crate::{
    cost,
    log_line::{self, SECRET},
};

/// What the shipped ones have no need of: loops, conditions, links.
static ALL: LazyLock<Templates> = LazyLock::new(|| {
    let mut all = Templates::shipped();
    let source = TemplateSource {
        subject: "{{ Name }} has {{ Items|length }} things".into(),
        html: "{% extends 'layout.html' %}{% block content %}<ul>{% for item in Items %}<li title=\"{{ item }}\">\
               {{ item }}</li>{% endfor %}</ul><a href=\"{{ Link|safe_url }}\">x</a>{% endblock %}"
            .into(),
        text: "{{ Name }}: {{ Items|join(', ') }} {{ Link|safe_url }}".into(),
    };
    all.add("fuzz", "en", source).expect("the template compiles");
    all
});

/// One rendering of each template.
pub fn template(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (locale, data) = text.split_once('\n').unwrap_or((&text, "{}"));
    let Ok(data) = serde_json::from_str::<Value>(data) else { return };
    for name in ["email_verification", "fuzz"] {
        let all = &*ALL;
        match cost::within("a template", bytes.len(), 256, || all.render(name, locale, &data)) {
            Ok(mail) => is_a_mail(&mail),
            Err(problem) => tells_no_values(&problem),
        }
    }
}

fn is_a_mail(mail: &Rendered) {
    assert!(!mail.subject.contains(['\r', '\n', '\0']), "a subject is one line: {:?}", mail.subject);
    for part in [&mail.subject, &mail.html, &mail.text] {
        assert!(part.len() <= 1 << 20, "{} bytes", part.len());
    }
    let html = mail.html.to_ascii_lowercase();
    assert!(!html.contains("<script") && !html.contains("javascript:x"), "data became markup: {html}");
}

fn tells_no_values(problem: &TemplateError) {
    let text = problem.to_string();
    log_line::assert_is_one(&text);
    assert!(!text.contains(SECRET), "a value is repeated: {text}");
}
