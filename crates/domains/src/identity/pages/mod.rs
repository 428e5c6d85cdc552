//! The pages for customers: sign up, enter the code, sign in. They call the same service as the API.
//!
//! The session is a cookie that scripts cannot read; it holds the API's own bearer token.

mod form;
mod visit;
mod waiting_room;

use std::{convert::Infallible, sync::Arc};

use async_trait::async_trait;
use axum::{
    Extension, Form, Router,
    extract::{FromRequestParts, Query},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use backshift_http::{
    client::Client,
    pages::{Pages, Room, Section, cookies, link::encode},
    templates,
};
use minijinja::context;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{IdentityError, ListQuery, Origin, Session, refusals};
use form::{Ask, Says};
use visit::Visit;

pub use visit::Accounts;

const COOKIE: &str = "backshift_session";
/// Codes that mean a next step and no dead end.
const KNOWN: u32 = refusals::USERNAME_EXISTED.0;
const NOT_CONFIRMED: u32 = refusals::USER_NOT_VERIFIED.0;

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

#[async_trait]
impl Section for Accounts {
    fn templates(&self) -> &'static [(&'static str, &'static str)] {
        templates!["code.html", "home.html", "me.html", "signin.html", "signup.html"]
    }

    fn rooms(&self) -> &'static [Room] {
        &[Room { name: "Sign-up page", href: "/" }]
    }

    fn doors(&self) -> &'static [Room] {
        &[Room { name: "Sign up", href: "/signup" }, Room { name: "Sign in", href: "/signin" }]
    }

    fn has_front(&self) -> bool {
        true
    }

    fn router(self: Arc<Self>) -> Router<Pages> {
        Router::new()
            .route("/", get(home))
            .route("/signup", get(signup_form).post(signup))
            .route("/code", get(code_form).post(code))
            .route("/code/again", post(code_again))
            .route("/signin", get(signin_form).post(signin))
            .route("/signout", post(signout))
            .route("/me", get(me))
            .layer(Extension(self))
    }
}

/// Who sent a form: the limits count it, and mails are in its language.
struct Sender(Origin);

impl<S: Sync> FromRequestParts<S> for Sender {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let ip = Client::of(&parts.extensions);
        let locale = parts.headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let locale = locale.and_then(|all| all.split([',', ';', '-']).next()).unwrap_or("en").to_owned();
        Ok(Self(Origin { ip, locale, traceparent: None }))
    }
}

impl Visit {
    /// Makes the account. Who signed up before and never confirmed the address gets another code.
    async fn sign_up(&self, fields: &Fields, origin: Origin) -> Result<Response, IdentityError> {
        match self.service().register(&fields.email, fields.password.clone(), origin.clone()).await {
            Ok(()) => self.mail_code(fields, origin).await,
            Err(known) if code_of(&known) == Some(KNOWN) => {
                self.mail_code(fields, origin).await.map_err(|_| known)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a session. Who has not confirmed the address yet is mailed a code.
    async fn sign_in(&self, fields: &Fields, origin: Origin) -> Result<Response, IdentityError> {
        let (accounts, password) = (self.service(), fields.password.clone());
        match accounts.login(&fields.email, password, false, origin.clone()).await {
            Ok(session) => Ok(self.open(&session)),
            Err(error) if code_of(&error) == Some(NOT_CONFIRMED) => self.mail_code(fields, origin).await,
            Err(error) => Err(error),
        }
    }

    /// The page of whoever has a session now.
    fn open(&self, session: &Session) -> Response {
        let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict", session.token.expose_secret());
        (AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(&self.pages.at("/me"))).into_response()
    }

    /// Confirms the address, and opens a session when the password of the sign-up is still remembered.
    async fn confirm(&self, fields: Fields, origin: Origin) -> Result<Response, IdentityError> {
        let accounts = self.service();
        accounts.verify_otp(&fields.email, fields.otp, origin.clone()).await?;
        let signed_in = match self.accounts.waiting.leave(&fields.email) {
            Some(password) => accounts.login(&fields.email, password, false, origin).await.ok(),
            None => None,
        };
        let ask = || self.ask(Ask::SignIn, &fields.email, Says::Fine("The address is confirmed."));
        Ok(signed_in.map_or_else(ask, |session| self.open(&session)))
    }

    /// Mails a code to somebody who gave address and password, and remembers the password until it is entered.
    async fn mail_code(&self, fields: &Fields, origin: Origin) -> Result<Response, IdentityError> {
        match self.service().send_otp(&fields.email, fields.password.clone(), origin).await {
            Ok(()) => self.accounts.waiting.enter(&fields.email, fields.password.clone()),
            // A code was mailed a moment ago: it is the one to enter.
            Err(IdentityError::TooMany { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(Redirect::to(&self.pages.at(&format!("/code?email={}", encode(&fields.email)))).into_response())
    }
}

/// `GET /`.
async fn home(visit: Visit) -> Response {
    let values = context! { title => "The back shift is on.", under => "Try the whole way of a sign-up, and watch the work behind it.", place => visit.pages.place() };
    visit.door(StatusCode::OK, "home.html", values)
}

/// `GET /signup`.
async fn signup_form(visit: Visit) -> Response {
    visit.ask(Ask::SignUp, "", Says::Nothing)
}

/// `POST /signup`.
async fn signup(visit: Visit, Sender(origin): Sender, Form(fields): Form<Fields>) -> Response {
    let result = visit.sign_up(&fields, origin).await;
    visit.or_ask(Ask::SignUp, &fields.email, result)
}

/// `GET /code`.
async fn code_form(visit: Visit, Query(handed): Query<Handed>) -> Response {
    visit.ask(Ask::Code, &handed.email, Says::Nothing)
}

/// `POST /code`.
async fn code(visit: Visit, Sender(origin): Sender, Form(fields): Form<Fields>) -> Response {
    let email = fields.email.clone();
    let result = visit.confirm(fields, origin).await;
    visit.or_ask(Ask::Code, &email, result)
}

/// `POST /code/again`. Without the password, which is kept for a quarter of an hour, it is asked for once more.
async fn code_again(visit: Visit, Sender(origin): Sender, Form(fields): Form<Fields>) -> Response {
    let Some(password) = visit.accounts.waiting.look(&fields.email) else {
        let once_more = Says::Fine("Sign in once more, then a new code is mailed to you.");
        return visit.ask(Ask::SignIn, &fields.email, once_more);
    };
    let result = async { visit.service().send_otp(&fields.email, password, origin).await };
    let says = match result.await {
        Ok(()) => Says::Fine("A new code is on its way."),
        Err(error) => Says::Wrong(error),
    };
    visit.ask(Ask::Code, &fields.email, says)
}

/// `GET /signin`.
async fn signin_form(visit: Visit) -> Response {
    visit.ask(Ask::SignIn, "", Says::Nothing)
}

/// `POST /signin`.
async fn signin(visit: Visit, Sender(origin): Sender, Form(fields): Form<Fields>) -> Response {
    let result = visit.sign_in(&fields, origin).await;
    visit.or_ask(Ask::SignIn, &fields.email, result)
}

/// `POST /signout`. The token ends with the cookie, and so do those of all other browsers.
async fn signout(visit: Visit, headers: HeaderMap) -> Response {
    let end = async {
        let accounts = visit.service();
        let caller = accounts.authenticate(token(&headers).ok_or(IdentityError::Unauthorized)?).await?;
        accounts.sign_out(caller).await
    };
    match end.await {
        Ok(()) | Err(IdentityError::Unauthorized) => {}
        Err(error) => return visit.ask(Ask::SignIn, "", Says::Wrong(error)),
    }
    let forget = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    (AppendHeaders([(header::SET_COOKIE, forget)]), Redirect::to(&visit.pages.at("/signin"))).into_response()
}

/// `GET /me`.
async fn me(visit: Visit, headers: HeaderMap) -> Response {
    let result = async {
        let accounts = visit.service();
        let caller = accounts.authenticate(token(&headers).ok_or(IdentityError::Unauthorized)?).await?;
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
            visit.door(StatusCode::OK, "me.html", values)
        }
        Err(IdentityError::Unauthorized) => Redirect::to(&visit.pages.at("/signin")).into_response(),
        Err(error) => visit.ask(Ask::SignIn, "", Says::Wrong(error)),
    }
}

fn token(headers: &HeaderMap) -> Option<&str> {
    cookies::named(headers, COOKIE).next()
}

fn code_of(error: &IdentityError) -> Option<u32> {
    match error {
        IdentityError::Business { code, .. } => Some(*code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=b; backshift_session=the.token; c=d".parse().unwrap());
        assert_eq!(token(&headers), Some("the.token"));
        // As HTTP/2 sends them: a line for each.
        headers.insert(header::COOKIE, "a=b".parse().unwrap());
        headers.append(header::COOKIE, "backshift_session=the.token".parse().unwrap());
        assert_eq!(token(&headers), Some("the.token"));
        headers.insert(header::COOKIE, "backshift_sessions=x".parse().unwrap());
        assert_eq!(token(&headers), None);
    }
}
