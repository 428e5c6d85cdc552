//! Ids in paths and queries: a text that is no UUID gets the code of its part of the API, not a bare 400.

use uuid::Uuid;

use crate::ApiError;

/// C's "this id is wrong" of plans.
pub(super) const PLAN_ID: ApiError = ApiError::Business { code: 120_007, message: "Invalid plan id" };
/// C's "this id is wrong" of subscriptions.
pub(super) const SUBSCRIPTION_ID: ApiError =
    ApiError::Business { code: 130_006, message: "Invalid subscription id" };

/// Reads an id or answers `refused`.
pub(super) fn id(text: &str, refused: ApiError) -> Result<Uuid, ApiError> {
    Uuid::try_parse(text).map_err(|_| refused)
}
