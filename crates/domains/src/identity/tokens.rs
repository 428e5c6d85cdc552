//! Session tokens: JWT, HS256, with the claims of docs/contracts/system-c.md, "HTTP", so that C's own services read them.
//!
//! A token says who signed in and when. Whether the account still stands, what its role is and whether it signed out
//! meanwhile is asked of the database at every request, because a token outlives all of it.

use std::time::Duration;

use backshift_core::Timestamp;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::jwt;
use crate::identity::{IdentityError, Session, User};

/// The fewest bytes of a secret; fewer can be guessed from one token.
const SHORTEST: usize = 16;
/// The only type of token that opens anything.
const ACCESS: &str = "access";
/// How far the clocks of two servers may be apart, in seconds.
const LEEWAY: f64 = 5.0;

#[derive(Serialize)]
struct Claims<'a> {
    sub: Uuid,
    username: &'a str,
    role: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    refresh: bool,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
}

/// What is read of a token; C's own have no role and other forms of `jti`. Times are seconds, with or without a
/// fraction.
#[derive(Deserialize)]
struct Read {
    sub: Uuid,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    refresh: bool,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    /// Whom it is for: nobody here has a name, so a token that names one is for somebody else.
    aud: Option<serde::de::IgnoredAny>,
}

/// What a good token says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spoken {
    /// Who signed in.
    pub(super) user_id: Uuid,
    /// When, in seconds since 1970; a token that does not say it is the oldest of all.
    pub(super) issued_at: f64,
}

/// Makes and reads tokens.
pub(super) struct Tokens(SecretSlice<u8>);

impl Tokens {
    pub(super) fn new(secret: &SecretString) -> Result<Self, String> {
        let secret = secret.expose_secret();
        if secret.trim().is_empty() {
            return Err("JWT_SECRET is blank: set it to a long random text".into());
        }
        if secret.len() < SHORTEST {
            return Err(format!(
                "JWT_SECRET has fewer than {SHORTEST} bytes and can be guessed: set a longer one"
            ));
        }
        Ok(Self(secret.as_bytes().to_vec().into()))
    }

    /// A session that begins now, and not before `not_before`: a sign-out counts whole seconds, so that a sign-in in
    /// the same second must not fall under it.
    pub(super) fn issue(
        &self,
        user: User,
        now: Timestamp,
        not_before: Option<Timestamp>,
        lasts: Duration,
    ) -> Result<Session, IdentityError> {
        let session_id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        let expires_at = now + lasts;
        let claims = Claims {
            sub: user.id,
            username: &user.email,
            role: user.role.as_str(),
            kind: ACCESS,
            refresh: false,
            iat: not_before.map_or(now, |at| at.max(now)).as_second(),
            nbf: now.as_second(),
            exp: expires_at.as_second(),
            jti: session_id.to_string(),
        };
        let token = jwt::sign(&self.0, &claims)
            .map_err(|error| IdentityError::Internal(format!("a token could not be made: {error}")))?;
        Ok(Session { user, token: token.into(), expires_at, session_id })
    }

    /// Who a token speaks for; every doubt is `Unauthorized`.
    pub(super) fn read(&self, token: &str, now: Timestamp) -> Result<Spoken, IdentityError> {
        let read: Read = jwt::read(&self.0, token).ok_or(IdentityError::Unauthorized)?;
        let now = now.as_microsecond() as f64 / 1e6;
        let over = read.exp + LEEWAY < now;
        let early = read.nbf.is_some_and(|begins| begins > now + LEEWAY);
        if over || early || read.kind != ACCESS || read.refresh || read.aud.is_some() {
            return Err(IdentityError::Unauthorized);
        }
        Ok(Spoken { user_id: read.sub, issued_at: read.iat.unwrap_or(f64::MIN) })
    }
}

#[cfg(test)]
mod tests {
    use crate::identity::Role;
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "a secret of thirty-two bytes, yes";

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn user() -> User {
        User {
            id: Uuid::from_u128(5),
            email: "Lan@x.io".into(),
            full_name: None,
            is_active: true,
            role: Role::Admin,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn tokens() -> Tokens {
        Tokens::new(&SECRET.into()).unwrap()
    }

    fn part(token: &str, index: usize) -> Value {
        let part = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    fn signed(claims: &Value) -> String {
        jwt::sign(&SECRET.as_bytes().to_vec().into(), claims).unwrap()
    }

    #[test]
    fn the_claims_are_system_c_s() {
        let now = Timestamp::now();
        let session = tokens().issue(user(), now, None, 7 * DAY).unwrap();
        let token = session.token.expose_secret();
        assert_eq!(part(token, 0)["alg"], "HS256");
        let claims = part(token, 1);
        assert_eq!(claims["sub"], json!(user().id));
        assert_eq!((&claims["username"], &claims["role"]), (&json!("Lan@x.io"), &json!("ADMIN")));
        assert_eq!((&claims["type"], &claims["refresh"]), (&json!("access"), &json!(false)));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 7 * 24 * 3600);
        assert_eq!(claims["jti"], session.session_id.to_string());
        let spoken = tokens().read(token, now).unwrap();
        assert_eq!((spoken.user_id, spoken.issued_at), (user().id, now.as_second() as f64));
        assert!(!format!("{session:?}").contains(token));
    }

    #[test]
    fn doubtful_tokens_are_refused() {
        let now = Timestamp::now();
        let issued = |at: Timestamp| tokens().issue(user(), at, None, DAY).unwrap().token;
        let (stale, early) = (issued(now - 2 * DAY), issued(now + DAY));
        let other = Tokens::new(&"another secret, as long as it".into()).unwrap();
        let other = other.issue(user(), now, None, DAY).unwrap().token;
        let (stale, early) = (stale.expose_secret(), early.expose_secret());
        let exp = now.as_second() + 1000;
        let refresh = signed(&json!({"sub": user().id, "type": "access", "refresh": true, "exp": exp}));
        let kind = signed(&json!({"sub": user().id, "type": "reset", "exp": exp}));
        let endless = signed(&json!({"sub": user().id, "type": "access"}));
        let nobody = signed(&json!({"sub": "x", "type": "access", "exp": exp}));
        let abroad =
            signed(&json!({"sub": user().id, "type": "access", "exp": exp, "aud": ["another service"]}));
        for bad in
            [stale, early, other.expose_secret(), &refresh, &kind, &endless, &nobody, &abroad, "", "a.b.c"]
        {
            assert!(matches!(tokens().read(bad, now), Err(IdentityError::Unauthorized)), "{bad}");
        }
        let of_c = json!({"sub": user().id, "username": "x", "type": "access", "refresh": false, "exp": exp, "jti": "17"});
        assert_eq!(tokens().read(&signed(&of_c), now).unwrap().issued_at, f64::MIN);
    }

    #[test]
    fn a_sign_in_in_the_second_of_a_sign_out_counts_from_its_end() {
        let now = Timestamp::now();
        let signed_out = now + Duration::from_secs(1);
        let session = tokens().issue(user(), now, Some(signed_out), DAY).unwrap();
        let spoken = tokens().read(session.token.expose_secret(), now).unwrap();
        assert_eq!(spoken.issued_at, signed_out.as_second() as f64);
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_no_secret() {
        for weak in ["", " ", "\t\n", "x", "fifteen letters"] {
            assert!(Tokens::new(&weak.into()).is_err_and(|text| text.contains("JWT_SECRET")), "{weak:?}");
        }
        assert!(Tokens::new(&"sixteen letters!".into()).is_ok());
    }
}
