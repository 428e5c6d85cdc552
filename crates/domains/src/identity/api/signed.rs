//! A request with a bearer token that is worth something now. A route that takes [`Signed`] cannot be reached without one.

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
};
use backshift_http::ApiError;

use super::Api;
use crate::identity::Caller;

/// Who calls, by a checked token.
#[derive(Debug, Clone, Copy)]
pub struct Signed(pub Caller);

impl FromRequestParts<Api> for Signed {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let refused = || ApiError::status(StatusCode::UNAUTHORIZED);
        let value = parts.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let (scheme, token) = value.and_then(|text| text.split_once(' ')).ok_or_else(refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused());
        }
        Ok(Self(api.identity.authenticate(token.trim()).await?))
    }
}
