//! Session tokens: JWT, HS256, with the claims of wire-formats C.5, so that C's own services read them.
//!
//! A token says who signed in; what they may do is read from the database when it matters, because a token
//! outlives a role.

use backshift_core::{
    Timestamp,
    identity::{Caller, IdentityError, Role, Session, User},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// The only type of token that opens anything.
const ACCESS: &str = "access";
/// How far the clocks of two servers may be apart, in seconds.
const LEEWAY: u64 = 5;

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

/// What is read of a token; C's own have no role and other forms of `jti`.
#[derive(Deserialize)]
struct Read {
    sub: Uuid,
    #[serde(default)]
    role: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    refresh: bool,
}

/// Makes and reads tokens.
pub(super) struct Tokens {
    encode: EncodingKey,
    decode: DecodingKey,
    validation: Validation,
}

impl Tokens {
    pub(super) fn new(secret: &SecretString) -> Result<Self, String> {
        let secret = secret.expose_secret().as_bytes();
        if secret.is_empty() {
            return Err("JWT_SECRET is empty: set it to a long random text".into());
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "sub"]);
        Ok(Self {
            encode: EncodingKey::from_secret(secret),
            decode: DecodingKey::from_secret(secret),
            validation,
        })
    }

    /// A session that begins now.
    pub(super) fn issue(
        &self,
        user: User,
        now: Timestamp,
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
            iat: now.as_second(),
            nbf: now.as_second(),
            exp: expires_at.as_second(),
            jti: session_id.to_string(),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encode)
            .map_err(|error| IdentityError::Internal(format!("a token could not be made: {error}")))?;
        Ok(Session { user, token: token.into(), expires_at, session_id })
    }

    /// Who a token speaks for; every doubt is `Unauthorized`.
    pub(super) fn read(&self, token: &str) -> Result<Caller, IdentityError> {
        let read = jsonwebtoken::decode::<Read>(token, &self.decode, &self.validation)
            .map_err(|_| IdentityError::Unauthorized)?
            .claims;
        if read.kind != ACCESS || read.refresh {
            return Err(IdentityError::Unauthorized);
        }
        let role = if read.role.as_deref() == Some(Role::Admin.as_str()) { Role::Admin } else { Role::User };
        Ok(Caller { user_id: read.sub, role })
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::{Value, json};

    use super::*;

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
        Tokens::new(&"a secret".into()).unwrap()
    }

    fn part(token: &str, index: usize) -> Value {
        let part = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    fn signed(claims: &Value) -> String {
        let key = EncodingKey::from_secret(b"a secret");
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
    }

    #[test]
    fn the_claims_are_system_c_s() {
        let now = Timestamp::now();
        let session = tokens().issue(user(), now, 7 * DAY).unwrap();
        let token = session.token.expose_secret();
        assert_eq!(part(token, 0)["alg"], "HS256");
        let claims = part(token, 1);
        assert_eq!(claims["sub"], json!(user().id));
        assert_eq!((&claims["username"], &claims["role"]), (&json!("Lan@x.io"), &json!("ADMIN")));
        assert_eq!((&claims["type"], &claims["refresh"]), (&json!("access"), &json!(false)));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 7 * 24 * 3600);
        assert_eq!(claims["jti"], session.session_id.to_string());
        assert_eq!(tokens().read(token).unwrap(), Caller { user_id: user().id, role: Role::Admin });
        assert!(!format!("{session:?}").contains(token));
    }

    #[test]
    fn doubtful_tokens_are_refused() {
        let now = Timestamp::now();
        let good = tokens().issue(user(), now, DAY).unwrap().token.expose_secret().to_owned();
        let stale = tokens().issue(user(), now - 2 * DAY, DAY).unwrap().token.expose_secret().to_owned();
        let early = tokens().issue(user(), now + DAY, DAY).unwrap().token.expose_secret().to_owned();
        let other = Tokens::new(&"another".into()).unwrap().issue(user(), now, DAY).unwrap().token;
        let none =
            format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), good.split('.').nth(1).unwrap());
        let exp = now.as_second() + 1000;
        let refresh = signed(&json!({"sub": user().id, "type": "access", "refresh": true, "exp": exp}));
        let kind = signed(&json!({"sub": user().id, "type": "reset", "exp": exp}));
        let endless = signed(&json!({"sub": user().id, "type": "access"}));
        let nobody = signed(&json!({"sub": "x", "type": "access", "exp": exp}));
        for bad in
            [&stale, &early, other.expose_secret(), &none, &refresh, &kind, &endless, &nobody, "", "a.b.c"]
        {
            assert!(matches!(tokens().read(bad), Err(IdentityError::Unauthorized)), "{bad}");
        }
        let of_c = json!({"sub": user().id, "username": "x", "type": "access", "refresh": false, "exp": exp, "jti": "17"});
        assert_eq!(tokens().read(&signed(&of_c)).unwrap().role, Role::User);
    }

    #[test]
    fn an_empty_secret_is_no_secret() {
        assert!(Tokens::new(&"".into()).is_err_and(|text| text.contains("JWT_SECRET")));
    }
}
