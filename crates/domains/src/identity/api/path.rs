//! Ids in paths and queries: a text that is not a UUID gets the code of its part of the API, not a bare 400.

use backshift_http::ApiError;
use uuid::Uuid;

use crate::identity::refusals::Refusal;

/// Reads an id or answers `refused`.
pub(super) fn id(text: &str, refused: Refusal) -> Result<Uuid, ApiError> {
    Uuid::try_parse(text).map_err(|_| refused.into())
}
