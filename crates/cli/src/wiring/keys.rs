//! The two secrets of accounts: what signs tokens and what codes are derived from.
//!
//! `dev` makes its own once and keeps them in its data directory, readable by its owner only.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use backshift_workers::identity::CodeKey;
use secrecy::SecretString;

use crate::{config::Config, exit::Failure};

/// Both secrets.
pub(crate) struct Keys {
    /// Signs tokens.
    pub(crate) jwt: SecretString,
    /// Derives codes; API and workers need the same one.
    pub(crate) code: CodeKey,
}

impl Keys {
    /// From the configuration; `None` when JWT_SECRET is not set.
    pub(crate) fn configured(config: &Config) -> Option<Self> {
        let jwt = config.secret("auth.jwt_secret")?;
        Some(Self::of(config, jwt))
    }

    /// For commands that steer accounts and neither sign nor derive anything: nothing is read, nothing is kept.
    pub(crate) fn passing(config: &Config) -> Self {
        Self::configured(config).unwrap_or_else(|| Self::of(config, random().into()))
    }

    fn of(config: &Config, jwt: SecretString) -> Self {
        let code = config.secret("otp.key").unwrap_or_else(|| jwt.clone());
        Self { code: CodeKey::from_secret(&code), jwt }
    }
}

/// The configured secrets, or those of the data directory, made when they are not there yet.
pub(crate) fn generated_keys(config: &Config) -> Result<Keys, Failure> {
    if let Some(keys) = Keys::configured(config) {
        return Ok(keys);
    }
    let path = Path::new(config.text("data_dir")).join("jwt.key");
    let problem = |error| Failure::failed(format!("the key file {}: {error}", path.display()));
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(&path).map_err(problem)?,
        Err(error) => return Err(problem(error)),
    };
    Ok(Keys::of(config, text.trim().into()))
}

fn make(path: &Path) -> std::io::Result<String> {
    let key = random();
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(key.as_bytes())?;
    file.sync_all()?;
    Ok(key)
}

fn random() -> String {
    rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect()
}
