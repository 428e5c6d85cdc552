//! The pages for customers: sign up, enter the code, sign in. They call the same port as the API.
//!
//! The session is a cookie that scripts cannot read; it holds the API's own bearer token.

use axum::{
    Form,
    extract::{ConnectInfo, Query, State as Extract},
    http::{HeaderMap, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};
use backshift_core::identity::{Identity, IdentityError, ListQuery, Origin, Session};
use minijinja::context;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::Pages;

const COOKIE: &str = "backshift_session";

/// The fields of all three forms.
#[derive(Deserialize)]
pub(super) struct Fields {
    email: String,
    #[serde(default = "nothing")]
    password: SecretString,
    #[serde(default = "nothing")]
    otp: SecretString,
}

fn nothing() -> SecretString {
    SecretString::from("")
}

/// What a link hands over.
#[derive(Deserialize)]
pub(super) struct Handed {
    #[serde(default)]
    email: String,
}

impl Pages {
    /// The port; the routes exist only when it is there.
    fn accounts(&self) -> Result<&dyn Identity, IdentityError> {
        self.identity.as_deref().ok_or(IdentityError::Unauthorized)
    }
}

/// `GET /`.
pub(super) async fn home(Extract(pages): Extract<Pages>) -> Response {
    let values = context! { title => "The back shift is on.", under => "Try the whole way of a sign-up, and watch the work behind it.", place => pages.place.as_ref() };
    pages.door(StatusCode::OK, "home.html", values)
}

/// `GET /signup`.
pub(super) async fn signup_form(Extract(pages): Extract<Pages>) -> Response {
    signup_page(&pages, StatusCode::OK, "", "")
}

fn signup_page(pages: &Pages, status: StatusCode, email: &str, wrong: &str) -> Response {
    let values = context! { title => "Sign up", under => "A code will be mailed to you.", email, wrong };
    pages.door(status, "signup.html", values)
}

/// `POST /signup`.
pub(super) async fn signup(
    Extract(pages): Extract<Pages>,
    peer: Option<axum::Extension<ConnectInfo<std::net::SocketAddr>>>,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Response {
    let locale = headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()).unwrap_or("en");
    let origin = Origin {
        ip: peer.map(|peer| peer.0.0.ip()),
        locale: locale.split([',', ';', '-']).next().unwrap_or("en").to_owned(),
        traceparent: None,
    };
    let result = async {
        let accounts = pages.accounts()?;
        accounts.register(&fields.email, fields.password.clone()).await?;
        accounts.send_otp(&fields.email, fields.password.clone(), origin).await
    };
    match result.await {
        Ok(()) => {
            pages.waiting.enter(&fields.email, fields.password);
            Redirect::to(&format!("/code?email={}", encode(&fields.email))).into_response()
        }
        Err(error) => signup_page(&pages, status(&error), &fields.email, &told(&error)),
    }
}

/// `GET /code`.
pub(super) async fn code_form(Extract(pages): Extract<Pages>, Query(handed): Query<Handed>) -> Response {
    code_page(&pages, StatusCode::OK, &handed.email, "")
}

fn code_page(pages: &Pages, status: StatusCode, email: &str, wrong: &str) -> Response {
    let under = format!("It was mailed to {email} and is good for ten minutes.");
    pages.door(status, "code.html", context! { title => "Enter the code", under, email, wrong })
}

/// `POST /code`.
pub(super) async fn code(Extract(pages): Extract<Pages>, Form(fields): Form<Fields>) -> Response {
    let accounts = match pages.accounts() {
        Ok(accounts) => accounts,
        Err(error) => return code_page(&pages, status(&error), &fields.email, &told(&error)),
    };
    if let Err(error) = accounts.verify_otp(&fields.email, fields.otp).await {
        return code_page(&pages, status(&error), &fields.email, &told(&error));
    }
    let signed_in = match pages.waiting.leave(&fields.email) {
        Some(password) => accounts.login(&fields.email, password, false).await.ok(),
        None => None,
    };
    match signed_in {
        Some(session) => open(&session),
        None => signin_page(&pages, StatusCode::OK, &fields.email, "", "The address is confirmed."),
    }
}

/// `GET /signin`.
pub(super) async fn signin_form(Extract(pages): Extract<Pages>) -> Response {
    signin_page(&pages, StatusCode::OK, "", "", "")
}

fn signin_page(pages: &Pages, status: StatusCode, email: &str, wrong: &str, fine: &str) -> Response {
    pages.door(status, "signin.html", context! { title => "Sign in", under => "", email, wrong, fine })
}

/// `POST /signin`.
pub(super) async fn signin(Extract(pages): Extract<Pages>, Form(fields): Form<Fields>) -> Response {
    let result = async { pages.accounts()?.login(&fields.email, fields.password, false).await };
    match result.await {
        Ok(session) => open(&session),
        Err(error) => signin_page(&pages, status(&error), &fields.email, &told(&error), ""),
    }
}

/// `POST /signout`.
pub(super) async fn signout() -> Response {
    let forget = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    (AppendHeaders([(header::SET_COOKIE, forget)]), Redirect::to("/signin")).into_response()
}

/// `GET /me`.
pub(super) async fn me(Extract(pages): Extract<Pages>, headers: HeaderMap) -> Response {
    let result = async {
        let accounts = pages.accounts()?;
        let caller = accounts.authenticate(token(&headers).ok_or(IdentityError::Unauthorized)?)?;
        let user = accounts.me(caller).await?;
        let own = ListQuery { user_id: Some(user.id), ..ListQuery::default() };
        let plan = match accounts.subscriptions(caller, &own).await?.rows.first() {
            Some(held) => format!("{}, {}", accounts.plan(held.plan_id).await?.name, held.status),
            None => "none".to_owned(),
        };
        Ok::<_, IdentityError>((user.email, plan))
    };
    match result.await {
        Ok((email, plan)) => {
            let values = context! { title => "You are signed in.", under => "", email, plan };
            pages.door(StatusCode::OK, "me.html", values)
        }
        Err(IdentityError::Unauthorized) => Redirect::to("/signin").into_response(),
        Err(error) => signin_page(&pages, status(&error), "", &told(&error), ""),
    }
}

fn open(session: &Session) -> Response {
    let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict", session.token.expose_secret());
    (AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to("/me")).into_response()
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    cookies.split("; ").find_map(|cookie| cookie.strip_prefix(COOKIE)?.strip_prefix('='))
}

fn status(error: &IdentityError) -> StatusCode {
    match error {
        IdentityError::Business { .. } => StatusCode::BAD_REQUEST,
        IdentityError::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        IdentityError::Unauthorized => StatusCode::UNAUTHORIZED,
        IdentityError::Forbidden => StatusCode::FORBIDDEN,
        IdentityError::Internal(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The error in words for the person in front of the page.
fn told(error: &IdentityError) -> String {
    match error {
        IdentityError::TooMany { retry_after } => {
            format!("That was too often. Come back in {} seconds.", retry_after.as_secs().max(1))
        }
        IdentityError::Internal(text) => {
            tracing::error!(error = %text, "a page could not reach the accounts");
            "The database does not answer. Try again in a moment.".to_owned()
        }
        IdentityError::Business { code: 110_012, .. } => {
            "This is no address that a mail can be sent to.".to_owned()
        }
        IdentityError::Business { code: 110_004, .. } => "This address has an account: sign in.".to_owned(),
        IdentityError::Business { code: 110_006, .. } => {
            "This is not the code. Look at the newest mail.".to_owned()
        }
        IdentityError::Business { code: 110_008, .. } => {
            "The code is too old. Sign up again to get a new one.".to_owned()
        }
        IdentityError::Business { message, .. } => (*message).to_owned(),
        IdentityError::Unauthorized | IdentityError::Forbidden => error.to_string(),
    }
}

fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
