//! Passwords: Argon2id for new rows, bcrypt of system C accepted, a dummy for nobody.
//!
//! A check takes a core and 19 MiB, so only as many run at once as there are cores; the others wait their turn.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use backshift_core::identity::IdentityError;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

/// Memory in KiB, passes, lanes (contracts/system-c.md, "Memory").
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// The fewest and most characters of a password (contracts/system-c.md, "HTTP").
pub(super) const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    /// Not the password.
    Wrong,
    /// The password.
    Right,
    /// The password, but its hash is weaker than what is made today.
    RightButOld,
}

/// Hashes and checks passwords.
#[derive(Clone)]
pub(super) struct Passwords {
    slots: Arc<Semaphore>,
    /// The hash that a password of nobody is compared with, so that it takes the same time.
    dummy: Arc<str>,
}

impl Passwords {
    pub(super) fn new(slots: usize) -> Result<Self, String> {
        let dummy = hashed(&SecretString::from("nobody's password"))?;
        Ok(Self { slots: Arc::new(Semaphore::new(slots.max(1))), dummy: dummy.into() })
    }

    /// The Argon2id hash as a PHC string.
    pub(super) async fn hash(&self, password: &SecretString) -> Result<String, IdentityError> {
        let password = password.clone();
        self.run(move || hashed(&password)).await?.map_err(IdentityError::Internal)
    }

    /// Checks a password against a stored hash; against nobody's when there is none.
    pub(super) async fn check(
        &self,
        password: &SecretString,
        stored: Option<&str>,
    ) -> Result<Checked, IdentityError> {
        let (password, known) = (password.clone(), stored.is_some());
        let hash: Arc<str> = stored.map_or_else(|| Arc::clone(&self.dummy), Into::into);
        let checked = self.run(move || checked(&password, &hash)).await?;
        Ok(if known { checked } else { Checked::Wrong })
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, IdentityError> {
        let failed = |what: &str| IdentityError::Internal(format!("a password check did not run: {what}"));
        // The permit goes into the thread: a request that is given up must not let another hash begin beside it.
        let permit = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| failed("closed"))?;
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        task.await.map_err(|error| failed(&error.to_string()))
    }
}

fn argon2() -> Result<Argon2<'static>, String> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).map_err(|error| error.to_string())?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hashed(password: &SecretString) -> Result<String, String> {
    let hash = argon2()?.hash_password(password.expose_secret().as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| error.to_string())
}

fn checked(password: &SecretString, stored: &str) -> Checked {
    let password = password.expose_secret().as_bytes();
    if stored.starts_with("$2") {
        // Go refuses passwords of more than 72 bytes, so a longer one cannot be right; it must not match its head.
        let right = password.len() <= 72 && bcrypt::verify(password, stored).unwrap_or(false);
        return if right { Checked::RightButOld } else { Checked::Wrong };
    }
    let Ok(parsed) = PasswordHash::new(stored) else { return Checked::Wrong };
    match Argon2::default().verify_password(password, &parsed) {
        Ok(()) if is_current(stored) => Checked::Right,
        Ok(()) => Checked::RightButOld,
        Err(_) => Checked::Wrong,
    }
}

fn is_current(stored: &str) -> bool {
    let (memory, passes, lanes) = COST;
    stored.starts_with(&format!("$argon2id$v=19$m={memory},t={passes},p={lanes}$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        text.into()
    }

    #[tokio::test]
    async fn new_hashes_are_argon2id_with_the_decided_cost() {
        let passwords = Passwords::new(2).unwrap();
        let hash = passwords.hash(&secret("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hash.len() <= 255, "the column is varchar(255)");
        for (text, found) in [("correct horse", Checked::Right), ("correct horsf", Checked::Wrong)] {
            assert_eq!(passwords.check(&secret(text), Some(&hash)).await.unwrap(), found);
        }
    }

    #[tokio::test]
    async fn bcrypt_is_right_but_old_and_never_truncated() {
        let passwords = Passwords::new(2).unwrap();
        let (long, longer) = ("x".repeat(72), "x".repeat(73));
        let hash = bcrypt::hash(&long, 4).unwrap().replace("$2b$", "$2a$");
        let check = |text: &str| {
            let (passwords, hash, text) = (passwords.clone(), hash.clone(), secret(text));
            async move { passwords.check(&text, Some(&hash)).await.unwrap() }
        };
        assert_eq!(check(&long).await, Checked::RightButOld);
        assert_eq!(check(&longer).await, Checked::Wrong);
        assert_eq!(check("wrong").await, Checked::Wrong);
    }

    #[tokio::test]
    async fn nobody_has_no_password_and_garbage_matches_nothing() {
        let passwords = Passwords::new(2).unwrap();
        assert_eq!(passwords.check(&secret("nobody's password"), None).await.unwrap(), Checked::Wrong);
        for garbage in ["", "plain", "$2a$10$short", "$argon2id$v=19$broken"] {
            assert_eq!(passwords.check(&secret("plain"), Some(garbage)).await.unwrap(), Checked::Wrong);
        }
    }
}
