//! The pages for customers: sign up, enter the code, sign in. They call the same port as the API.
//!
//! The session is a cookie that scripts cannot read; it holds the API's own bearer token.

use std::net::SocketAddr;

use axum::{
    Extension, Form, Router,
    extract::{ConnectInfo, Query, State as Extract},
    http::{HeaderMap, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use backshift_core::identity::{Identity, IdentityError, ListQuery, Origin, Session};
use minijinja::context;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Pages, link::encode, mask};

const COOKIE: &str = "backshift_session";
/// Codes of the port that mean a next step and no dead end.
const KNOWN: u32 = 110_004;
const NOT_CONFIRMED: u32 = 110_010;

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

/// The routes for customers.
pub(super) fn router() -> Router<Pages> {
    Router::new()
        .route("/", get(home))
        .route("/signup", get(signup_form).post(signup))
        .route("/code", get(code_form).post(code))
        .route("/code/again", post(code_again))
        .route("/signin", get(signin_form).post(signin))
        .route("/signout", post(signout))
        .route("/me", get(me))
}

/// From where somebody asks for a code.
type Peer = Option<Extension<ConnectInfo<SocketAddr>>>;

fn origin(peer: &Peer, headers: &HeaderMap) -> Origin {
    let locale = headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()).unwrap_or("en");
    Origin {
        ip: peer.as_ref().map(|peer| peer.0.0.ip()),
        locale: locale.split([',', ';', '-']).next().unwrap_or("en").to_owned(),
        traceparent: None,
    }
}

impl Pages {
    /// The port; the routes exist only when it is there.
    fn accounts(&self) -> Result<&dyn Identity, IdentityError> {
        self.identity.as_deref().ok_or(IdentityError::Unauthorized)
    }

    /// Mails a code to somebody who gave address and password, and remembers the password until it is entered.
    async fn mail_code(&self, fields: &Fields, origin: Origin) -> Result<Response, IdentityError> {
        match self.accounts()?.send_otp(&fields.email, fields.password.clone(), origin).await {
            Ok(()) => self.waiting.enter(&fields.email, fields.password.clone()),
            // A code was mailed a moment ago: it is the one to enter.
            Err(IdentityError::TooMany { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(Redirect::to(&format!("/code?email={}", encode(&fields.email))).into_response())
    }
}

/// `GET /`.
async fn home(Extract(pages): Extract<Pages>) -> Response {
    let values = context! { title => "The back shift is on.", under => "Try the whole way of a sign-up, and watch the work behind it.", place => pages.place.as_ref() };
    pages.door(StatusCode::OK, "home.html", values)
}

/// `GET /signup`.
async fn signup_form(Extract(pages): Extract<Pages>) -> Response {
    signup_page(&pages, StatusCode::OK, "", "")
}

fn signup_page(pages: &Pages, status: StatusCode, email: &str, wrong: &str) -> Response {
    let values = context! { title => "Sign up", under => "A code will be mailed to you.", email, wrong };
    pages.door(status, "signup.html", values)
}

/// `POST /signup`. Who signed up before and never confirmed the address gets another code.
async fn signup(
    Extract(pages): Extract<Pages>,
    peer: Peer,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Response {
    let result = async {
        let registered = pages.accounts()?.register(&fields.email, fields.password.clone()).await;
        match registered {
            Ok(_) => pages.mail_code(&fields, origin(&peer, &headers)).await,
            Err(known) if code_of(&known) == Some(KNOWN) => {
                pages.mail_code(&fields, origin(&peer, &headers)).await.map_err(|_| known)
            }
            Err(error) => Err(error),
        }
    };
    match result.await {
        Ok(response) => response,
        Err(error) => signup_page(&pages, status(&error), &fields.email, &told(&error)),
    }
}

/// `GET /code`.
async fn code_form(Extract(pages): Extract<Pages>, Query(handed): Query<Handed>) -> Response {
    code_page(&pages, StatusCode::OK, &handed.email, "", "")
}

fn code_page(pages: &Pages, status: StatusCode, email: &str, wrong: &str, fine: &str) -> Response {
    let under = match email {
        "" => "It is in the newest mail to you.".to_owned(),
        email => format!("It was mailed to {}.", mask::letter(email)),
    };
    pages.door(status, "code.html", context! { title => "Enter the code", under, email, wrong, fine })
}

/// `POST /code`.
async fn code(Extract(pages): Extract<Pages>, Form(fields): Form<Fields>) -> Response {
    let accounts = match pages.accounts() {
        Ok(accounts) => accounts,
        Err(error) => return code_page(&pages, status(&error), &fields.email, &told(&error), ""),
    };
    if let Err(error) = accounts.verify_otp(&fields.email, fields.otp).await {
        return code_page(&pages, status(&error), &fields.email, &told(&error), "");
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

/// `POST /code/again`. Without the password, which is kept for a quarter of an hour, it is asked for once more.
async fn code_again(
    Extract(pages): Extract<Pages>,
    peer: Peer,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Response {
    let Some(password) = pages.waiting.look(&fields.email) else {
        let ask = "Sign in once more, then a new code is mailed to you.";
        return signin_page(&pages, StatusCode::OK, &fields.email, "", ask);
    };
    let result = async { pages.accounts()?.send_otp(&fields.email, password, origin(&peer, &headers)).await };
    match result.await {
        Ok(()) => code_page(&pages, StatusCode::OK, &fields.email, "", "A new code is on its way."),
        Err(error) => code_page(&pages, status(&error), &fields.email, &told(&error), ""),
    }
}

/// `GET /signin`.
async fn signin_form(Extract(pages): Extract<Pages>) -> Response {
    signin_page(&pages, StatusCode::OK, "", "", "")
}

fn signin_page(pages: &Pages, status: StatusCode, email: &str, wrong: &str, fine: &str) -> Response {
    pages.door(status, "signin.html", context! { title => "Sign in", under => "", email, wrong, fine })
}

/// `POST /signin`. Who has not confirmed the address yet is mailed a code.
async fn signin(
    Extract(pages): Extract<Pages>,
    peer: Peer,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Response {
    let result = async {
        match pages.accounts()?.login(&fields.email, fields.password.clone(), false).await {
            Ok(session) => Ok(open(&session)),
            Err(error) if code_of(&error) == Some(NOT_CONFIRMED) => {
                pages.mail_code(&fields, origin(&peer, &headers)).await
            }
            Err(error) => Err(error),
        }
    };
    match result.await {
        Ok(response) => response,
        Err(error) => signin_page(&pages, status(&error), &fields.email, &told(&error), ""),
    }
}

/// `POST /signout`.
async fn signout() -> Response {
    let forget = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    (AppendHeaders([(header::SET_COOKIE, forget)]), Redirect::to("/signin")).into_response()
}

/// `GET /me`.
async fn me(Extract(pages): Extract<Pages>, headers: HeaderMap) -> Response {
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

fn code_of(error: &IdentityError) -> Option<u32> {
    match error {
        IdentityError::Business { code, .. } => Some(*code),
        _ => None,
    }
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
        IdentityError::Business { message, .. } => {
            code_of(error).and_then(in_words).unwrap_or(message).to_owned()
        }
        IdentityError::Unauthorized | IdentityError::Forbidden => error.to_string(),
    }
}

fn in_words(code: u32) -> Option<&'static str> {
    Some(match code {
        110_002 => "Choose a password of 8 to 128 characters.",
        110_003 | 110_005 => "Address and password do not belong together.",
        KNOWN => "This address has an account: sign in.",
        110_006 => "This is not the code. Look at the newest mail.",
        110_007 => "This address is confirmed already: sign in.",
        110_008 => "The code is too old. Send a new one.",
        110_009 => "That was tried too often. Send a new code.",
        110_012 => "This is no address that a mail can be sent to.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=b; backshift_session=the.token; c=d".parse().unwrap());
        assert_eq!(token(&headers), Some("the.token"));
        headers.insert(header::COOKIE, "backshift_sessions=x".parse().unwrap());
        assert_eq!(token(&headers), None);
    }
}
