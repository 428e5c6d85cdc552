//! Refusals of the service as C's clients read them. What went wrong inside stays in the log.

use axum::http::StatusCode;
use backshift_http::ApiError;

use crate::identity::{
    IdentityError,
    refusals::{Refusal, TOO_MANY_ATTEMPTS},
};

impl From<Refusal> for ApiError {
    fn from(Refusal(code, message): Refusal) -> Self {
        Self::Business { code, message }
    }
}

impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Business { code, message } => Self::Business { code, message },
            IdentityError::TooMany { retry_after } => Self::Later {
                status: StatusCode::TOO_MANY_REQUESTS,
                code: TOO_MANY_ATTEMPTS.0,
                message: TOO_MANY_ATTEMPTS.1,
                after: retry_after,
            },
            IdentityError::Busy { retry_after } => Self::Later {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: 503,
                message: "Too many sign-ins and registrations wait just now",
                after: retry_after,
            },
            IdentityError::Unauthorized => Self::status(StatusCode::UNAUTHORIZED),
            IdentityError::Forbidden => Self::status(StatusCode::FORBIDDEN),
            IdentityError::Internal(cause) => {
                tracing::error!(error = %cause, "a request failed for a reason of our own");
                Self::internal()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{http::header, response::IntoResponse};

    use super::*;

    #[tokio::test]
    async fn each_refusal_has_its_status_and_tells_nothing_of_the_house() {
        let after = Duration::from_millis(41_200);
        for (error, status, retry, body) in [
            (
                IdentityError::Business { code: 110_005, message: "Wrong password" },
                400,
                None,
                r#"{"error_code":110005,"message":"Wrong password"}"#,
            ),
            (
                IdentityError::TooMany { retry_after: after },
                429,
                Some("42"),
                r#"{"error_code":110009,"message":"Too many attempts"}"#,
            ),
            (
                IdentityError::Busy { retry_after: after },
                503,
                Some("42"),
                r#"{"error_code":503,"message":"Too many sign-ins and registrations wait just now"}"#,
            ),
            (IdentityError::Unauthorized, 401, None, r#"{"error_code":401,"message":"Unauthorized"}"#),
            (IdentityError::Forbidden, 403, None, r#"{"error_code":403,"message":"Forbidden"}"#),
            (
                IdentityError::Internal("relation users is gone".into()),
                500,
                None,
                r#"{"error_code":500,"message":"Something went wrong"}"#,
            ),
        ] {
            let response = ApiError::from(error).into_response();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers().get(header::RETRY_AFTER).map(|v| v.to_str().unwrap()), retry);
            let bytes = axum::body::to_bytes(response.into_body(), 1 << 10).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&bytes), body);
        }
    }
}
