//! The one password: kept as a keyed digest, compared in constant time.
//!
//! The key is made with the process, so a digest says nothing to whoever reads it in a memory dump of another one.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Longer ones are not even hashed.
const LONGEST: usize = 1024;

/// A name and the digest of name and password.
pub(super) struct Password {
    user: String,
    key: [u8; 32],
    digest: [u8; 32],
}

impl Password {
    pub(super) fn new(user: &str, password: &SecretString) -> Self {
        let key = rand::random();
        let digest = digest(&key, user, password.expose_secret());
        Self { user: user.to_owned(), key, digest }
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// Whether both are right; takes as long for a wrong name as for a wrong password.
    pub(super) fn opens(&self, user: &str, password: &SecretString) -> bool {
        let password = password.expose_secret();
        if user.len() > LONGEST || password.len() > LONGEST {
            return false;
        }
        digest(&self.key, user, password).ct_eq(&self.digest).into()
    }
}

fn digest(key: &[u8; 32], user: &str, password: &str) -> [u8; 32] {
    // A key of 32 bytes fits any HMAC: this cannot fail, and if it did nobody would come in with an empty digest.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return rand::random() };
    // The length keeps `ab` + `c` and `a` + `bc` apart.
    mac.update(&(user.len() as u64).to_be_bytes());
    mac.update(user.as_bytes());
    mac.update(password.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_name_and_password_together_open() {
        let password = Password::new("ops", &"correct horse".into());
        assert!(password.opens("ops", &"correct horse".into()));
        let long = "x".repeat(LONGEST + 1);
        for (user, other) in [
            ("ops", "correct hors"),
            ("ops", ""),
            ("Ops", "correct horse"),
            ("opsc", "orrect horse"),
            ("", "opscorrect horse"),
            ("ops", long.as_str()),
        ] {
            assert!(!password.opens(user, &other.into()), "{user} {other}");
        }
        assert_ne!(
            password.digest,
            Password::new("ops", &"correct horse".into()).digest,
            "each has its own key"
        );
    }
}
