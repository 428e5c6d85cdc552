//! What every setting promises: its names, its form, its default.

use super::*;

#[test]
fn the_names_that_contracts_promise_exist() {
    let all: Vec<String> = SETTINGS.iter().flat_map(Setting::variables).collect();
    for name in [
        "BACKSHIFT_WORKER_HTTP_ADDR",
        "BACKSHIFT_SMTP_TLS",
        "BACKSHIFT_SMTP_CA_FILE",
        "BACKSHIFT_SMTP_COMMAND_TIMEOUT",
        "BACKSHIFT_MAIL_CONCURRENCY",
        "BACKSHIFT_MAIL_RETRY_BASE",
        "BACKSHIFT_MAIL_RETRY_CAP",
        "BACKSHIFT_MAIL_MAX_ATTEMPTS",
        "BACKSHIFT_MAIL_PAUSE",
        "BACKSHIFT_OTP_TTL",
        "BACKSHIFT_OTP_RESEND_COOLDOWN",
        "BACKSHIFT_OTP_MAX_PER_HOUR",
        "BACKSHIFT_OTP_MAX_PER_HOUR_IP",
        "BACKSHIFT_OTP_MAX_TRIES",
        "BACKSHIFT_SHUTDOWN_GRACE",
        "BACKSHIFT_DEV_PORT",
        "BACKSHIFT_DATA_DIR",
        "BACKSHIFT_REQUIRE_TLS",
        "BACKSHIFT_ALLOW_UNSAFE_SERVER",
        "BACKSHIFT_MIGRATE",
        "BACKSHIFT_LOG_SUBJECTS",
        "BACKSHIFT_AUTH_UNIFORM_ERRORS",
        "BACKSHIFT_IDENTITY_OPEN_SUBSCRIPTIONS",
        "BACKSHIFT_PROBE",
        "BACKSHIFT_PROBE_LOG",
        "BACKSHIFT_WORKER_NAME",
        "BACKSHIFT_WORKER_LEASE",
        "BACKSHIFT_RETRY_BASE",
        "BACKSHIFT_RETRY_CAP",
        "BACKSHIFT_MAX_ATTEMPTS",
        "DATABASE_URL",
        "RABBITMQ_URL",
        "SMTP_USER",
        "SMTP_PASS",
        "APP_PORT",
        "PORT",
        "LOGGER_ENCODING",
        "JWT_SECRET",
    ] {
        assert!(all.iter().any(|v| v == name), "{name}");
    }
}

/// Who writes `0s` mostly means *off*; where that would cut off everybody at once, it is said before it happens.
#[test]
fn a_time_that_somebody_needs_is_not_nothing() {
    let refused = |key: &'static str, text: &str| {
        let read = super::super::Config::read(None, std::iter::empty(), &[(key, "--flag", text.to_owned())]);
        read.err().map(|problems| problems.to_string())
    };
    let times = || SETTINGS.iter().filter(|setting| setting.form == Time);
    for setting in times() {
        for nothing in ["0s", "0ms", "0.0h"] {
            let text = refused(setting.key, nothing).unwrap_or_else(|| panic!("{} = {nothing}", setting.key));
            assert!(text.contains(setting.key) && text.contains("leaves no time"), "{text}");
        }
        assert_eq!(refused(setting.key, "1ms"), None, "{}", setting.key);
    }
    for key in
        ["http.first_byte_timeout", "http.idle_timeout", "smtp.command_timeout", "worker.forsaken_after"]
    {
        assert!(times().any(|setting| setting.key == key), "{key}");
    }
    for key in [
        "retention.dead",
        "retention.email_sends",
        "retention.hands",
        "shutdown.grace",
        "otp.resend_cooldown",
    ] {
        assert_eq!(refused(key, "0s"), None, "{key}");
    }
}
