//! JSON Web Tokens with HS256 (RFC 7515, RFC 7519), and with nothing else.
//!
//! The algorithm is ours and never the token's: a header that names another one, or `none`, is refused. The tag is
//! compared in constant time before a claim is looked at.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;

/// The header of what is signed here.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
/// The longest text that is looked at; a token of ours has a tenth of it.
const LONGEST: usize = 4096;

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Extensions that must be understood; none is.
    crit: Option<serde::de::IgnoredAny>,
}

/// The token of these claims.
pub(super) fn sign(key: &SecretSlice<u8>, claims: &impl Serialize) -> serde_json::Result<String> {
    let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims)?);
    let signed = format!("{}.{body}", URL_SAFE_NO_PAD.encode(HEADER));
    let tag = mac(key, &signed).finalize().into_bytes();
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag)))
}

/// The claims of a token that this key has signed. Times in them are for the caller to judge.
pub(super) fn read<T: DeserializeOwned>(key: &SecretSlice<u8>, token: &str) -> Option<T> {
    if token.len() > LONGEST {
        return None;
    }
    let (signed, tag) = token.rsplit_once('.')?;
    let (header, body) = signed.split_once('.')?;
    mac(key, signed).verify_slice(&URL_SAFE_NO_PAD.decode(tag).ok()?).ok()?;
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    if header.alg != "HS256" || header.crit.is_some() {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()
}

fn mac(key: &SecretSlice<u8>, text: &str) -> Hmac<Sha256> {
    let mut mac: Hmac<Sha256> =
        Hmac::new_from_slice(key.expose_secret()).expect("HMAC takes keys of every length");
    mac.update(text.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn key(text: &str) -> SecretSlice<u8> {
        text.as_bytes().to_vec().into()
    }

    /// A token with any header, rightly signed.
    fn under(header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let tag = mac(&key("k"), &signed).finalize().into_bytes();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    #[test]
    fn the_example_of_the_standard_is_read() {
        // RFC 7515, appendix A.1: key, token and claims.
        let bytes = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let key: SecretSlice<u8> = URL_SAFE_NO_PAD.decode(bytes).unwrap().into();
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
            dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let claims: Value = read(&key, token).unwrap();
        assert_eq!(claims["iss"], "joe");
        assert_eq!(claims["exp"], 1_300_819_380);
    }

    #[test]
    fn what_is_signed_is_read_by_the_same_key_alone() {
        let token = sign(&key("k"), &json!({"a": 1})).unwrap();
        assert_eq!(read::<Value>(&key("k"), &token), Some(json!({"a": 1})));
        assert_eq!(read::<Value>(&key("l"), &token), None);
        for position in 0..token.len() {
            let mut bent = token.clone().into_bytes();
            bent[position] = if bent[position] == b'A' { b'B' } else { b'A' };
            assert_eq!(read::<Value>(&key("k"), &String::from_utf8(bent).unwrap()), None, "byte {position}");
            assert_eq!(read::<Value>(&key("k"), &token[..position]), None, "cut at {position}");
        }
    }

    #[test]
    fn the_algorithm_is_not_the_token_s_to_choose() {
        let claims = r#"{"a":1}"#;
        assert!(read::<Value>(&key("k"), &under(HEADER, claims)).is_some());
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"hs256"}"#,
            r#"{"alg":"HS512"}"#,
            r#"{"alg":"RS256","jwk":{}}"#,
            r#"{"alg":["HS256"]}"#,
            r#"{"typ":"JWT"}"#,
            r#"{"alg":"HS256","crit":["exp"]}"#,
            "{}",
            "",
        ] {
            assert_eq!(read::<Value>(&key("k"), &under(header, claims)), None, "{header}");
        }
        let none =
            format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(read::<Value>(&key("k"), &none), None);
    }

    #[test]
    fn texts_that_are_no_token_are_refused_at_any_length() {
        let long = format!("{}.a.b", "a".repeat(1 << 20));
        for bad in ["", ".", "..", "...", "a.b", "a.b.c.d", "\u{fc}.\u{fc}.\u{fc}", " . . ", &long] {
            assert_eq!(read::<Value>(&key("k"), bad), None);
        }
    }
}
