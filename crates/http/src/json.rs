//! Reading a JSON body strictly: a duplicate key, a byte order mark or a wrong type is an error, not a guess.
//!
//! `serde_json` alone would take the last of two equal keys, and a check in front of it might take the first.

use std::{collections::BTreeSet, fmt, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::ApiError;

/// The largest body of this API; its largest legal body has a few kilobytes.
const MAX_BYTES: usize = 64 * 1024;
/// How long a client may take to send its body.
const READ_TIME: Duration = Duration::from_secs(10);

/// A body of this API, with the code that a wrong one gets.
pub trait Form: DeserializeOwned {
    /// C's code and message for "this body is wrong".
    const REFUSED: (u32, &'static str);
}

/// A body that was read strictly.
#[derive(Debug)]
pub struct Strict<T>(pub T);

impl<S: Send + Sync, T: Form> FromRequest<S> for Strict<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        if !says_json(&parts.headers) {
            return Err(ApiError::Status(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Unsupported Media Type: send Content-Type: application/json",
            ));
        }
        let bytes = read(body).await?;
        let (code, message) = T::REFUSED;
        parse(&bytes).map(Self).map_err(|problem| {
            tracing::debug!(problem, code, "a body was refused");
            ApiError::Business { code, message }
        })
    }
}

fn says_json(headers: &HeaderMap) -> bool {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|e| !e.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return false;
    }
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    let collected = tokio::time::timeout(READ_TIME, Limited::new(body, MAX_BYTES).collect());
    match collected.await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(ApiError::status(StatusCode::PAYLOAD_TOO_LARGE))
        }
        Ok(Err(_)) => Err(ApiError::Status(StatusCode::BAD_REQUEST, "The body ended before its end")),
        Err(_) => Err(ApiError::status(StatusCode::REQUEST_TIMEOUT)),
    }
}

/// The typed body, or what is wrong in words without its values (they may be secret).
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, &'static str> {
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return Err("byte order mark");
    }
    let Unique(value) = serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => "duplicate key",
        _ => "no JSON",
    })?;
    if !value.is_object() {
        return Err("no object");
    }
    serde_json::from_value(value).map_err(|_| "a field is missing or has another type")
}

/// Any JSON in which no object has a key twice.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson).map(Self)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate keys")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let mut seen = BTreeSet::new();
        while let Some((key, Unique(value))) = entries.next_entry::<String, Unique>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom("duplicate key"));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Mail {
        email: String,
    }

    #[test]
    fn the_catalogue_of_bad_bodies_is_refused() {
        let deep = format!("{{\"email\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let cases: [&[u8]; 13] = [
            b"",
            b"{",
            b"null",
            b"[]",
            b"\"text\"",
            b"\xEF\xBB\xBF{\"email\":\"a@x.io\"}",
            b"{\"email\":\"a@x.io\",\"email\":\"b@x.io\"}",
            b"{\"email\":\"a@x.io\",\"x\":{\"y\":1,\"y\":2}}",
            b"{\"email\":null}",
            b"{\"email\":5}",
            b"{\"email\":\"\xFF\"}",
            b"{\"email\":\"a@x.io\"} {}",
            deep.as_bytes(),
        ];
        for bad in cases {
            let shown = String::from_utf8_lossy(&bad[..bad.len().min(60)]).into_owned();
            assert!(parse::<Mail>(bad).is_err(), "{shown}");
        }
        let good = parse::<Mail>(br#"{"email":"a@x.io","unknown":{"n":18446744073709551616,"e":1e3}}"#);
        assert_eq!(good.unwrap().email, "a@x.io");
    }

    #[test]
    fn only_json_is_json() {
        let says = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            says_json(&headers)
        };
        assert!(says("application/json") && says("Application/JSON; charset=utf-8"));
        assert!(!says("text/plain") && !says("application/x-www-form-urlencoded") && !says("json"));
        assert!(!says_json(&HeaderMap::new()));
    }
}
