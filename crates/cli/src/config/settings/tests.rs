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
    let times = || SETTINGS.iter().filter(|setting| setting.form == Form::Time);
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

/// A value that no setting of this form has, and a word of what is offered instead; `None` = any text is one.
fn wrong(form: Form) -> Option<(String, String)> {
    let own = |value: &str, instead: &str| Some((value.to_owned(), instead.to_owned()));
    match form {
        Form::Text | Form::Secret => None,
        // An empty word is *not set*.
        Form::Word(words) => {
            Some(("nonsense".to_owned(), words.join(", ").trim_start_matches(", ").to_owned()))
        }
        Form::Switch => own("perhaps", "true or false"),
        Form::Duration | Form::Time => own("soon", "5s"),
        Form::Size => own("much", "16MiB"),
        Form::Number(least, most) => Some(((most + 1).to_string(), format!("from {least} to {most}"))),
        Form::Url => own("nonsense", "://"),
        Form::Networks => own("10.0.0.0/99", "10.0.0.0/8"),
        Form::Header => own("a b", "x-forwarded-for"),
    }
}

/// Also of a setting that is new: whoever adds one adds a row here by that.
#[test]
fn every_wrong_value_names_key_value_source_and_remedy_wherever_it_was_written() {
    let mut tried = 0;
    for setting in SETTINGS.iter() {
        let Some((value, instead)) = wrong(setting.form) else { continue };
        let told = |source: &str, read: Result<super::super::Config, super::super::Problems>| {
            let text = read.err().map(|problems| problems.to_string()).unwrap_or_default();
            for word in [setting.key, value.as_str(), source, instead.as_str()] {
                assert!(
                    text.contains(word),
                    "{} = {value} by {source} says nothing of {word:?}: {text:?}",
                    setting.key
                );
            }
            assert_eq!(text.lines().count(), 1, "once: {text}");
        };
        for variable in setting.variables() {
            let pair = (variable.clone().into(), value.clone().into());
            told(&variable, super::super::Config::read(None, std::iter::once(pair), &[]));
            tried += 1;
        }
        let name = setting.key.rsplit('.').next().unwrap_or_default();
        let section = setting.key.strip_suffix(name).and_then(|section| section.strip_suffix('.'));
        let line = if matches!(setting.form, Form::Number(..)) {
            format!("{name} = {value}\n")
        } else {
            format!("{name} = {value:?}\n")
        };
        let text = section.map_or(line.clone(), |section| format!("[{section}]\n{line}"));
        told("some.toml", super::super::Config::read(Some(("some.toml", &text)), std::iter::empty(), &[]));
        let flag = [(setting.key, "--some-flag", value.clone())];
        told("--some-flag", super::super::Config::read(None, std::iter::empty(), &flag));
        tried += 2;
    }
    assert!(tried > 200, "{tried}");
}
