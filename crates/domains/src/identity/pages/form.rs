//! The forms of the door (sign up, code, sign in) and what they say above their fields.
//!
//! Every refusal comes back as the same form with the address filled in, in words for a person.

use axum::{http::StatusCode, response::Response};
use backshift_http::pages::mask;
use minijinja::context;

use super::visit::Visit;
use crate::identity::{IdentityError, refusals as say};

/// The three forms.
#[derive(Clone, Copy)]
pub(super) enum Ask {
    SignUp,
    Code,
    SignIn,
}

/// What a form says above its fields.
pub(super) enum Says {
    Nothing,
    Fine(&'static str),
    Wrong(IdentityError),
}

impl Visit {
    /// One of the forms, with the address filled in.
    pub(super) fn ask(&self, form: Ask, email: &str, says: Says) -> Response {
        let (template, title, under) = match form {
            Ask::SignUp => ("signup.html", "Sign up", "A code will be mailed to you.".to_owned()),
            Ask::Code if email.is_empty() => {
                ("code.html", "Enter the code", "It is in the newest mail to you.".to_owned())
            }
            Ask::Code => {
                ("code.html", "Enter the code", format!("It was mailed to {}.", mask::letter(email)))
            }
            Ask::SignIn => ("signin.html", "Sign in", String::new()),
        };
        let (status, wrong, fine) = match says {
            Says::Nothing => (StatusCode::OK, String::new(), ""),
            Says::Fine(text) => (StatusCode::OK, String::new(), text),
            Says::Wrong(error) => (status(&error), told(&error), ""),
        };
        self.door(status, template, context! { title, under, email, wrong, fine })
    }

    /// The way on, or the form again with what was wrong.
    pub(super) fn or_ask(&self, form: Ask, email: &str, result: Result<Response, IdentityError>) -> Response {
        result.unwrap_or_else(|error| self.ask(form, email, Says::Wrong(error)))
    }
}

fn status(error: &IdentityError) -> StatusCode {
    match error {
        IdentityError::Business { .. } => StatusCode::BAD_REQUEST,
        IdentityError::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        IdentityError::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
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
        IdentityError::Busy { retry_after } => {
            format!(
                "Too many people sign in just now. Come back in {} seconds.",
                retry_after.as_secs().max(1)
            )
        }
        IdentityError::Internal(text) => {
            tracing::error!(error = %text, "a page could not reach the accounts");
            "The database does not answer. Try again in a moment.".to_owned()
        }
        IdentityError::Business { code, message } => in_words(*code).unwrap_or(message).to_owned(),
        IdentityError::Forbidden => "This account was closed by whoever runs this place.".to_owned(),
        IdentityError::Unauthorized => error.to_string(),
    }
}

fn in_words(code: u32) -> Option<&'static str> {
    /// What a person reads for each of C's codes.
    const WORDS: [(u32, &str); 9] = [
        (say::WRONG_BODY.0, "Choose a password of 8 to 128 characters."),
        (say::USER_NOT_FOUND.0, "Address and password do not belong together."),
        (say::WRONG_PASSWORD.0, "Address and password do not belong together."),
        (say::USERNAME_EXISTED.0, "This address has an account: sign in."),
        (say::WRONG_OTP.0, "This is not the code. Look at the newest mail."),
        (say::USER_VERIFIED.0, "This address is confirmed already: sign in."),
        (say::OTP_EXPIRED.0, "The code is too old. Send a new one."),
        (say::TOO_MANY_ATTEMPTS.0, "That was tried too often. Send a new code."),
        (say::WRONG_EMAIL.0, "This is no address that a mail can be sent to."),
    ];
    WORDS.iter().find(|(known, _)| *known == code).map(|(_, words)| *words)
}
