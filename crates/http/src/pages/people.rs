//! The answer to an address that nothing has: a page for people, the port's own shape for programs.
//!
//! It stands outside the guard, because an unknown address below `/api` must answer as the API does.

use axum::{
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Redirect, Response},
};
use backshift_core::StoreError;

use super::{Here, entry::wants_page, guard, mask};

/// Every address without a route.
pub(super) async fn missing(Here(pages): Here, uri: Uri, headers: HeaderMap) -> Response {
    // The base path with a slash behind it is what people type.
    if uri.path().strip_suffix('/') == Some(&*pages.base.0) {
        return Redirect::to(&pages.at("/overview")).into_response();
    }
    if !wants_page(&headers) || uri.path().starts_with("/api/") {
        return pages.shape.refusal(StatusCode::NOT_FOUND);
    }
    let text = format!("No page has the address {}.", mask::said(uri.path(), 120));
    guard::with_policy(pages.away(&StoreError::NotFound(text)))
}
