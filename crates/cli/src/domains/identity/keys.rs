//! The two secrets of accounts: what signs tokens and what codes are derived from.
//!
//! `dev` makes its own once and keeps them in its data directory, readable by its owner only.

use std::path::Path;

use backshift_domains::identity::CodeKey;
use secrecy::{ExposeSecret, SecretString};

use super::settings;
use crate::{
    config::{Config, Key, Secret},
    exit::Failure,
    wiring::private,
};

/// Fewer bytes can be guessed from one token; fewer than twice as many are weaker than the signature.
const FEWEST: usize = 16;
const ENOUGH: usize = 32;

/// Both secrets.
pub(super) struct Keys {
    /// Signs tokens.
    pub(super) jwt: SecretString,
    /// Derives codes; API and workers need the same one.
    pub(super) code: CodeKey,
}

impl Keys {
    /// Whether JWT_SECRET is set, however short it is.
    pub(super) fn is_set(config: &Config) -> bool {
        secret(config, &settings::AUTH_JWT_SECRET).is_some()
    }

    /// From the configuration; `None` when JWT_SECRET is not set, and blank is not set.
    pub(super) fn configured(config: &Config) -> Result<Option<Self>, Failure> {
        let Some(jwt) = secret(config, &settings::AUTH_JWT_SECRET) else { return Ok(None) };
        if jwt.expose_secret().len() < FEWEST {
            return Err(Failure::configuration(format!(
                "{}: JWT_SECRET has fewer than {FEWEST} bytes and can be guessed; `openssl rand -hex 32` prints a good one",
                config.told(&settings::AUTH_JWT_SECRET)
            )));
        }
        Ok(Some(Self::of(config, jwt)))
    }

    /// What is to be said about secrets that are accepted all the same.
    pub(super) fn weakness(config: &Config) -> Option<String> {
        let short = |key, least| secret(config, key).is_some_and(|text| text.expose_secret().len() < least);
        let weak = [
            (&settings::AUTH_JWT_SECRET, "JWT_SECRET", ENOUGH),
            (&settings::OTP_KEY, "BACKSHIFT_OTP_KEY", FEWEST),
        ];
        let (_, name, least) = weak.into_iter().find(|(key, _, least)| short(key, *least))?;
        Some(format!(
            "{name} has fewer than {least} bytes: set a longer one; `openssl rand -hex 32` prints one"
        ))
    }

    /// For commands that steer accounts and neither sign nor derive anything: nothing is read, nothing is kept.
    pub(super) fn passing(config: &Config) -> Self {
        Self::of(config, random().into())
    }

    fn of(config: &Config, jwt: SecretString) -> Self {
        let code = secret(config, &settings::OTP_KEY).unwrap_or_else(|| jwt.clone());
        Self { code: CodeKey::from_secret(&code), jwt }
    }
}

fn secret(config: &Config, key: &Key<Secret>) -> Option<SecretString> {
    config.get(key).filter(|text| !text.expose_secret().trim().is_empty())
}

/// The configured secrets, or those of the data directory, made when they are not there yet.
pub(super) fn generated_keys(config: &Config) -> Result<Keys, Failure> {
    if let Some(keys) = Keys::configured(config)? {
        return Ok(keys);
    }
    let directory = config.data_dir();
    private::directory(directory)?;
    let path = directory.join("jwt.key");
    let kept = private::read(&path)?;
    let kept = kept.as_deref().map(str::trim);
    let key = match kept {
        None => make(&path)?,
        Some("") => {
            // Whoever began to write it did not come to the end, so nothing was ever signed with it.
            tracing::warn!(file = %path.display(), "the key file was empty; a new key is made");
            make(&path)?
        }
        Some(key) if !is_key(key) => {
            return Err(Failure::configuration(format!(
                "the key file {} does not hold a whole key: remove it, and a new one is made; people sign in once more",
                path.display()
            )));
        }
        Some(key) => key.to_owned(),
    };
    Ok(Keys::of(config, key.into()))
}

/// One line that somebody could have written: no less than a key, and nothing that a crash or a disk leaves.
fn is_key(text: &str) -> bool {
    let letters: std::collections::BTreeSet<char> = text.chars().collect();
    text.len() >= FEWEST && letters.len() > 4 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn make(path: &Path) -> Result<String, Failure> {
    let key = random();
    private::write(path, &key)?;
    Ok(key)
}

fn random() -> String {
    rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_secret_is_none_a_short_one_is_refused_and_a_middling_one_warned_about() {
        for blank in ["", " ", "\t \n"] {
            let config = Config::of_flags(&[("auth.jwt_secret", blank)]);
            assert!(Keys::configured(&config).unwrap().is_none(), "{blank:?}");
            assert_eq!(Keys::weakness(&config), None);
        }
        for short in ["Q", "fifteen letters"] {
            let failure =
                Keys::configured(&Config::of_flags(&[("auth.jwt_secret", short)])).map(drop).unwrap_err();
            assert_eq!(failure.gravity(), 78);
            let text = failure.to_string();
            assert!(
                text.contains("JWT_SECRET") && text.contains("--flag") && !text.contains(short),
                "{text}"
            );
        }
        for (secret, weak) in [("sixteen letters!", true), (&"x".repeat(31), true), (&"x".repeat(32), false)]
        {
            let config = Config::of_flags(&[("auth.jwt_secret", secret)]);
            assert!(Keys::configured(&config).unwrap().is_some());
            assert_eq!(
                Keys::weakness(&config).is_some_and(|text| text.contains("JWT_SECRET")),
                weak,
                "{secret}"
            );
        }
        let otp = Config::of_flags(&[("auth.jwt_secret", &"x".repeat(32)), ("otp.key", "short")]);
        assert!(Keys::weakness(&otp).is_some_and(|text| text.contains("BACKSHIFT_OTP_KEY")));
    }

    #[test]
    fn a_key_is_made_once_and_an_empty_file_is_no_key() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        let config = Config::of_flags(&[("data_dir", data.to_str().unwrap())]);
        let of = |config: &Config| generated_keys(config).map(|keys| keys.jwt.expose_secret().to_owned());
        let first = of(&config).unwrap();
        assert_eq!((first.len(), of(&config).unwrap()), (64, first.clone()));
        std::fs::write(data.join("jwt.key"), "\n").unwrap();
        let second = of(&config).unwrap();
        assert_ne!(first, second);
        assert_eq!(of(&config).unwrap(), second);
        std::fs::write(data.join("jwt.key"), "half a k").unwrap();
        let text = of(&config).unwrap_err().to_string();
        assert!(text.contains("jwt.key") && text.contains("remove it"), "{text}");
    }

    #[test]
    fn what_is_no_key_is_refused_whatever_its_size() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        let config = Config::of_flags(&[("data_dir", data.to_str().unwrap())]);
        let key = generated_keys(&config).unwrap().jwt.expose_secret().to_owned();
        let file = data.join("jwt.key");
        let large = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
        // Sparse: a gigabyte of NULs takes no room, and must not be read.
        large.set_len(1 << 30).unwrap();
        let refused = |what: &str| {
            let failure = generated_keys(&config).map(drop).unwrap_err();
            let text = failure.to_string();
            assert_eq!(failure.gravity(), 78, "{what}");
            assert!(text.contains("jwt.key") && text.contains("remove it"), "{what}: {text}");
        };
        refused("a gigabyte");
        let long = "0123456789abcdef".repeat(257);
        for (what, bytes) in [
            ("NULs", vec![0; 64]),
            ("a whole key and NULs", [key.as_bytes(), &[0; 8]].concat()),
            ("one letter", vec![b'0'; 64]),
            ("two lines", format!("{key}\n{key}\n").into_bytes()),
            ("no text", vec![0xff; 64]),
            ("a letter cut at the limit", [&vec![b'a'; 4096][..], "é".as_bytes()].concat()),
            ("too long", long.into_bytes()),
        ] {
            std::fs::write(&file, bytes).unwrap();
            refused(what);
        }
        std::fs::write(&file, format!("{key}\n")).unwrap();
        assert_eq!(generated_keys(&config).unwrap().jwt.expose_secret(), key);
    }
}
