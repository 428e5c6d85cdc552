//! System C's HTTP API (`/api/v1`): accounts, plans and subscriptions, over [`IdentityService`].
//!
//! Routes hold no rules: they read a request, call the service and write C's envelope. Which code a bad body gets
//! depends on the part of the API, see [`Form`](backshift_http::json::Form).

mod authentication;
mod errors;
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
use backshift_http::API;

use super::IdentityService;

pub use signed::Signed;

/// What every route gives.
type Answer = Result<Response, backshift_http::ApiError>;

/// What the routes need.
#[derive(Clone)]
pub struct Api {
    /// The use cases.
    pub identity: Arc<IdentityService>,
}

/// All routes of the API, under [`API`].
pub fn router(api: Api) -> Router {
    let routes = Router::new()
        .nest("/authentication", authentication::routes())
        .nest("/plans", plans::routes())
        .nest("/subscriptions", subscriptions::routes());
    Router::new().nest(API, routes).layer(middleware::map_response(in_the_envelope)).with_state(api)
}

/// What an extractor of axum refused (a path that is not UTF-8, say) gets the envelope like everything else.
async fn in_the_envelope(response: Response) -> Response {
    let status = response.status();
    let plain = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    match (status.is_client_error() || status.is_server_error()) && plain {
        true => backshift_http::ApiError::status(status).into_response(),
        false => response,
    }
}
