//! One-time codes: derived from the challenge by a key, so that nothing secret is stored or queued.
//!
//! The same challenge gives the same code on every retry of its mail.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// The purpose of the code that confirms an address.
pub(super) const VERIFY: &str = "verify";

/// What a code is derived from besides the key.
#[derive(Debug, Clone)]
pub(super) struct Challenge<'a> {
    pub(super) id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) purpose: &'a str,
    pub(super) nonce: &'a [u8],
}

/// The key that codes are derived with.
#[derive(Debug, Clone)]
pub struct CodeKey(SecretSlice<u8>);

impl CodeKey {
    /// Any secret text; `BACKSHIFT_OTP_KEY`, or another long secret of the deployment. It is hashed with a label,
    /// so that a code tells nothing about other uses of the same secret.
    pub fn from_secret(secret: &SecretString) -> Self {
        let mut mac = keyed(secret.expose_secret().as_bytes());
        mac.update(b"backshift one-time codes v1");
        Self(mac.finalize().into_bytes().to_vec().into())
    }

    /// The six digits of a challenge.
    pub(super) fn code(&self, challenge: &Challenge<'_>) -> SecretString {
        let mut mac = keyed(self.0.expose_secret());
        mac.update(challenge.id.as_bytes());
        mac.update(challenge.user_id.as_bytes());
        mac.update(challenge.nonce);
        mac.update(challenge.purpose.as_bytes());
        let digest = mac.finalize().into_bytes();
        let mut head = [0; 8];
        head.copy_from_slice(&digest[..8]);
        format!("{:06}", u64::from_be_bytes(head) % 1_000_000).into()
    }

    /// Whether the given digits are the challenge's, in constant time.
    pub(super) fn matches(&self, challenge: &Challenge<'_>, given: &SecretString) -> bool {
        let right = self.code(challenge);
        right.expose_secret().as_bytes().ct_eq(given.expose_secret().as_bytes()).into()
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of every length")
}

/// Whether the text is six ASCII digits; anything else is not a try.
pub(super) fn is_well_formed(code: &SecretString) -> bool {
    let text = code.expose_secret();
    text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(id: u128, user: u128) -> Challenge<'static> {
        Challenge {
            id: Uuid::from_u128(id),
            user_id: Uuid::from_u128(user),
            purpose: VERIFY,
            nonce: b"0123456789abcdef",
        }
    }

    #[test]
    fn a_code_is_stable_and_belongs_to_one_challenge_user_purpose_and_key() {
        let key = CodeKey::from_secret(&"one".into());
        let code = key.code(&challenge(1, 1));
        assert!(is_well_formed(&code));
        assert!(key.matches(&challenge(1, 1), &code));
        let other_key = CodeKey::from_secret(&"two".into());
        let other_purpose = Challenge { purpose: "reset", ..challenge(1, 1) };
        assert!(!key.matches(&challenge(2, 1), &code) && !key.matches(&challenge(1, 2), &code));
        assert!(!key.matches(&other_purpose, &code) && !other_key.matches(&challenge(1, 1), &code));
        assert!(!format!("{key:?}").contains("one"));
    }

    #[test]
    fn codes_are_spread_evenly() {
        let key = CodeKey::from_secret(&"one".into());
        let mut first_digits = [0_u32; 10];
        for id in 0..2_000 {
            let code = key.code(&challenge(id, 1));
            first_digits[usize::from(code.expose_secret().as_bytes()[0] - b'0')] += 1;
        }
        assert!(first_digits.iter().all(|count| (130..=270).contains(count)), "{first_digits:?}");
    }

    #[test]
    fn only_six_ascii_digits_are_a_try() {
        for bad in ["", "12345", "1234567", "12345a", " 12345", "１２３４５６", "-12345", "12345\n"] {
            assert!(!is_well_formed(&bad.into()), "{bad:?}");
        }
        assert!(is_well_formed(&"000000".into()));
    }
}
