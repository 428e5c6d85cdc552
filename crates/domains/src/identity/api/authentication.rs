//! `/authentication`: register, send-otp, verify-otp, login, logout.

use axum::{Router, extract::State, response::Response, routing::post};
use backshift_http::{
    ApiError, envelope,
    json::{Form, Strict},
};
use secrecy::SecretString;
use serde::Deserialize;

use super::{Api, Signed, origin::Whence, wire::SessionBody};
use crate::identity::refusals::WRONG_BODY;

const REFUSED: (u32, &str) = (WRONG_BODY.0, WRONG_BODY.1);

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/register", post(register))
        .route("/send-otp", post(send_otp))
        .route("/verify-otp", post(verify_otp))
        .route("/login", post(login))
        .route("/logout", post(logout))
}

#[derive(Deserialize)]
struct Credentials {
    email: String,
    password: SecretString,
}

impl Form for Credentials {
    const REFUSED: (u32, &'static str) = REFUSED;
}

#[derive(Deserialize)]
struct Code {
    email: String,
    otp: SecretString,
}

impl Form for Code {
    const REFUSED: (u32, &'static str) = REFUSED;
}

/// C's clients also send `user_agent`, `ip_address` and `device_name`; nothing depends on them.
#[derive(Deserialize)]
struct Login {
    email: String,
    password: SecretString,
    remember: Option<bool>,
}

impl Form for Login {
    const REFUSED: (u32, &'static str) = REFUSED;
}

async fn register(
    State(api): State<Api>,
    Whence(origin): Whence,
    Strict(body): Strict<Credentials>,
) -> Result<Response, ApiError> {
    api.identity.register(&body.email, body.password, origin).await?;
    Ok(envelope::done())
}

async fn send_otp(
    State(api): State<Api>,
    Whence(origin): Whence,
    Strict(body): Strict<Credentials>,
) -> Result<Response, ApiError> {
    api.identity.send_otp(&body.email, body.password, origin).await?;
    Ok(envelope::done())
}

async fn verify_otp(
    State(api): State<Api>,
    Whence(origin): Whence,
    Strict(body): Strict<Code>,
) -> Result<Response, ApiError> {
    api.identity.verify_otp(&body.email, body.otp, origin).await?;
    Ok(envelope::done())
}

async fn login(
    State(api): State<Api>,
    Whence(origin): Whence,
    Strict(body): Strict<Login>,
) -> Result<Response, ApiError> {
    let remember = body.remember.unwrap_or(false);
    let session = api.identity.login(&body.email, body.password, remember, origin).await?;
    Ok(envelope::success(SessionBody::from(session)))
}

/// Ends every session of the caller, this one among them.
async fn logout(State(api): State<Api>, Signed(caller): Signed) -> Result<Response, ApiError> {
    api.identity.sign_out(caller).await?;
    Ok(envelope::done())
}
