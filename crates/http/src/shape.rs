//! How a port words an answer that no route made: 404, 405, 413, a panic. Each face has one shape, and its clients read
//! no other.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::ApiError;

/// The shape of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// System C's envelope, with the status as its code.
    SystemC,
    /// `application/problem+json` (RFC 9457): every port that is ours.
    #[default]
    Problem,
}

/// RFC 9457 §4.2.1: without a `type` of its own a problem says no more than its status, and its title is the status' text.
#[derive(Serialize)]
struct Problem {
    title: &'static str,
    status: u16,
}

impl Shape {
    /// An answer of this status.
    pub fn refusal(self, status: StatusCode) -> Response {
        match self {
            Self::SystemC => ApiError::status(status).into_response(),
            Self::Problem => {
                let title = status.canonical_reason().unwrap_or("Error");
                let mut response = (status, Json(Problem { title, status: status.as_u16() })).into_response();
                let kind = HeaderValue::from_static("application/problem+json");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_shape_says_the_status_in_its_own_words() {
        for (shape, kind, text) in [
            (Shape::SystemC, "application/json", r#"{"error_code":404,"message":"Not Found"}"#),
            (Shape::Problem, "application/problem+json", r#"{"title":"Not Found","status":404}"#),
        ] {
            let response = shape.refusal(StatusCode::NOT_FOUND);
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
            assert_eq!(response.headers()[header::CONTENT_TYPE], kind);
            let bytes = axum::body::to_bytes(response.into_body(), 1 << 10).await.unwrap();
            assert_eq!(&bytes[..], text.as_bytes());
        }
    }
}
