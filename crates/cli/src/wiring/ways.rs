//! The ways to the servers, judged before anything is connected: a warning, or an error with `require_tls`.
//!
//! What is judged comes from the clients' own parsed configurations; the judgement itself is `Way::safety` in core.

use std::path::Path;

use backshift_core::way::{Authority, Safety, Way};

use crate::{
    config::{Config, Key, Text, keys},
    exit::Failure,
    sources,
};

/// Refuses what `require_tls` does not allow, and warns about everything else that somebody between could read.
pub(crate) fn protect(config: &Config, ways: &[Way]) -> Result<(), Failure> {
    for way in ways {
        let Safety::Exposed(why) = way.safety() else { continue };
        let (service, place) = (way.service, way.place());
        let remedy = remedy(service);
        if config.get(&keys::REQUIRE_TLS) {
            return Err(Failure::configuration(format!(
                "{service} at {place}: {why}, and require_tls is set: {remedy}"
            )));
        }
        tracing::warn!(
            "{service} at {place} is another machine, and the way there is not safe: {why}; {remedy}"
        );
    }
    Ok(())
}

fn remedy(service: &str) -> &'static str {
    match service {
        "PostgreSQL" => {
            "use sslmode=verify-full (the default when no sslmode is written), with database.ca_file for an authority of \
             your own"
        }
        _ => {
            let source = sources::ALL.iter().find(|source| source.title == service);
            source.map_or("set BACKSHIFT_SMTP_TLS to starttls or implicit", |source| source.tls)
        }
    }
}

/// The authority by its file, where the client knows only the bytes.
pub(crate) fn named(way: Way, config: &Config, key: &Key<Text>) -> Way {
    let Some(file) = config.some(key).map(str::to_owned) else { return way };
    let authority = match way.authority {
        Authority::File(_) => Authority::File(file),
        Authority::SystemAnd(_) => Authority::SystemAnd(file),
        Authority::System => Authority::System,
    };
    Way { authority, ..way }
}

/// The bytes of a PEM file that a setting names.
pub(crate) fn pem(config: &Config, key: &Key<Text>) -> Result<Option<Vec<u8>>, Failure> {
    let Some(path) = config.some(key) else { return Ok(None) };
    let read = std::fs::read(Path::new(path));
    read.map(Some).map_err(|error| {
        let remedy = "name a PEM file that this process may read";
        Failure::configuration(format!("{}: {error}; {remedy}", config.told(key)))
    })
}

#[cfg(test)]
mod tests {
    use backshift_core::way::{Check, Encryption};

    use super::*;

    #[test]
    fn only_a_verified_way_is_allowed_when_tls_is_required() {
        let config = Config::of_flags(&[("require_tls", "true")]);
        for (service, word) in
            [("PostgreSQL", "verify-full"), ("RabbitMQ", "amqps"), ("SMTP", "starttls"), ("x", "set")]
        {
            let way = |host: &str, encryption, check| Way {
                service,
                host: host.into(),
                port: 1,
                local: host == "::1",
                encryption,
                check,
                authority: Authority::System,
            };
            for (encryption, check) in [
                (Encryption::Never, Check::Nothing),
                (Encryption::IfOffered, Check::Full),
                (Encryption::Always, Check::Nothing),
                (Encryption::Always, Check::Signer),
            ] {
                let ways = [way("::1", Encryption::Never, Check::Nothing), way("h", encryption, check)];
                let text = protect(&config, &ways).unwrap_err().to_string();
                assert!(
                    text.contains(word) && text.contains("h:1") && text.contains("require_tls"),
                    "{text}"
                );
                assert!(protect(&Config::defaults(), &ways).is_ok());
            }
            assert!(protect(&config, &[way("h", Encryption::Always, Check::Full)]).is_ok());
        }
    }
}
