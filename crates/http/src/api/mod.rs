//! System C's HTTP API (`/api/v1`): accounts, plans and subscriptions, on the port [`Identity`].
//!
//! Routes hold no rules: they read a request, call the port and write C's envelope. Which code a bad body gets
//! depends on the part of the API, see [`json::Form`].

mod authentication;
mod json;
mod listing;
mod origin;
mod path;
mod plans;
mod signed;
mod subscriptions;
mod wire;

use std::sync::Arc;

use axum::{
    Router,
    http::header,
    middleware,
    response::{IntoResponse, Response},
};
use backshift_core::identity::Identity;

pub use json::{Form, Strict};
pub use signed::Signed;

/// Where the routes live.
pub const PREFIX: &str = "/api/v1";

/// What every route gives.
type Answer = Result<Response, crate::ApiError>;

/// What the routes need.
#[derive(Clone)]
pub struct Api {
    /// The use cases.
    pub identity: Arc<dyn Identity>,
}

/// All routes of the API, under [`PREFIX`].
pub fn router(api: Api) -> Router {
    let routes = Router::new()
        .nest("/authentication", authentication::routes())
        .nest("/plans", plans::routes())
        .nest("/subscriptions", subscriptions::routes());
    Router::new().nest(PREFIX, routes).layer(middleware::map_response(in_the_envelope)).with_state(api)
}

/// What an extractor of axum refused (a path that is no UTF-8, say) gets the envelope like everything else.
async fn in_the_envelope(response: Response) -> Response {
    let status = response.status();
    let plain = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    match (status.is_client_error() || status.is_server_error()) && plain {
        true => crate::ApiError::status(status).into_response(),
        false => response,
    }
}
