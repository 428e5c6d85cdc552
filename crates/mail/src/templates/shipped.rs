//! The templates that ship with Backshift, as files beside the code.
//!
//! Subjects of en and vi are system C's, word for word (docs/contracts/system-c.md, "HTTP").

use super::engine::TemplateSource;

/// The mail with the one-time code. Variables: Name, OTP, OTPExpireMin; Email and SupportMail if there are.
pub const EMAIL_VERIFICATION: &str = "email_verification";

/// The same mail in the name of any product. Variables: those of [`EMAIL_VERIFICATION`], and App, the product's name.
pub const VERIFICATION_CODE: &str = "verification_code";

/// One template in one language.
pub(super) struct Shipped {
    pub(super) name: &'static str,
    pub(super) locale: &'static str,
    pub(super) source: TemplateSource,
}

macro_rules! shipped {
    ($name:literal, $locale:literal) => {
        Shipped {
            name: $name,
            locale: $locale,
            source: TemplateSource {
                subject: include_str!(concat!("../../templates/", $name, "/", $locale, ".subject.txt"))
                    .into(),
                html: include_str!(concat!("../../templates/", $name, "/", $locale, ".html")).into(),
                text: include_str!(concat!("../../templates/", $name, "/", $locale, ".txt")).into(),
            },
        }
    };
}

/// Every shipped template.
pub(super) fn all() -> [Shipped; 6] {
    [
        shipped!("email_verification", "en"),
        shipped!("email_verification", "vi"),
        shipped!("email_verification", "ja"),
        shipped!("verification_code", "en"),
        shipped!("verification_code", "vi"),
        shipped!("verification_code", "ja"),
    ]
}

/// The frame that every shipped HTML mail extends.
pub(super) const LAYOUT: &str = include_str!("../../templates/layout.html");

/// Data for a preview of a shipped template.
pub(super) fn sample(name: &str) -> Option<serde_json::Value> {
    [EMAIL_VERIFICATION, VERIFICATION_CODE].contains(&name).then(|| {
        serde_json::json!({
            "App": "Lantern",
            "Name": "Nguyễn Thị Lan",
            "OTP": "493027",
            "OTPExpireMin": 10,
            "Email": "lan@example.org",
            "SupportMail": "support@example.org",
        })
    })
}
