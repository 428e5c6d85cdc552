//! System C's response envelope: `{error_code, message, data?}`, for successes and for every error.
//!
//! Business errors are HTTP 400 even when something was not found, because C's clients branch on `error_code`;
//! what the framework refuses (404, 405, 413 …) carries the HTTP status as its code.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

#[derive(Serialize)]
struct Body<'a, T> {
    error_code: u32,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
}

/// 200 with data.
pub fn success(data: impl Serialize) -> Response {
    Json(Body { error_code: 0, message: "Success", data: Some(data) }).into_response()
}

/// 200 without data.
pub fn done() -> Response {
    Json(Body::<()> { error_code: 0, message: "Success", data: None }).into_response()
}

/// An answer that is not a success, in C's shape.
#[derive(Debug, PartialEq, Eq)]
pub enum ApiError {
    /// A business rule said no: 400 with C's code.
    Business {
        /// C's code.
        code: u32,
        /// C's message.
        message: &'static str,
    },
    /// Not now: a cool-down, a limit, or more work than is taken on; with `Retry-After`.
    Later {
        /// 429 or 503.
        status: StatusCode,
        /// C's code.
        code: u32,
        /// C's message.
        message: &'static str,
        /// When to come back.
        after: Duration,
    },
    /// Anything that HTTP itself has a status for; the status is the code.
    Status(StatusCode, &'static str),
}

impl ApiError {
    /// The status with its usual text.
    pub fn status(status: StatusCode) -> Self {
        Self::Status(status, status.canonical_reason().unwrap_or("Error"))
    }

    /// 500: the cause is for the log only.
    pub fn internal() -> Self {
        Self::Status(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::Business { code, message } => (StatusCode::BAD_REQUEST, code, message),
            Self::Later { status, code, message, .. } => (status, code, message),
            Self::Status(status, message) => (status, u32::from(status.as_u16()), message),
        };
        let body = Json(Body::<()> { error_code: code, message, data: None });
        let mut response = (status, body).into_response();
        if let Self::Later { after, .. } = self {
            // Whole seconds, rounded up: a client that waits exactly this long must not be refused again.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_shape_is_system_c_s() {
        assert_eq!(text(done()).await, r#"{"error_code":0,"message":"Success"}"#);
        assert_eq!(text(success([1])).await, r#"{"error_code":0,"message":"Success","data":[1]}"#);
        let refused = ApiError::Business { code: 110_005, message: "Wrong password" }.into_response();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert_eq!(text(refused).await, r#"{"error_code":110005,"message":"Wrong password"}"#);
    }

    #[test]
    fn retry_after_is_rounded_up_and_never_zero() {
        for (wait, header) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (59_500, "60")] {
            let (status, after) = (StatusCode::TOO_MANY_REQUESTS, Duration::from_millis(wait));
            let response = ApiError::Later { status, code: 429, message: "", after }.into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[header::RETRY_AFTER], header, "{wait} ms");
        }
    }
}
