//! Signing in and out. Wrong passwords are counted by network, for the whole fleet and across restarts.
//!
//! Every try takes one from the allowance of its network, the right one too: it cannot be told apart before it is checked,
//! and nobody signs in ten times in a quarter of an hour.

use std::time::{Duration, Instant};

use axum::{
    Form, Router,
    extract::{Query, Request},
    http::{Extensions, HeaderMap, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use backshift_core::{StoreError, store::Rate};
use minijinja::context;
use secrecy::SecretString;
use serde::Deserialize;

use super::Gate;
use crate::{
    client::{Client, Network},
    pages::{Here, Pages, link, words},
};

/// Where the door is.
pub(super) const PATH: &str = "/enter";
/// Tries of one network.
const TRIES: Rate = Rate { count: 10, per: Duration::from_secs(15 * 60) };

/// The fields of the form.
#[derive(Deserialize)]
struct Fields {
    user: String,
    password: SecretString,
    #[serde(default)]
    next: String,
}

/// What a link hands over.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Handed {
    next: String,
}

/// The routes of the door.
pub(in crate::pages) fn router() -> Router<Pages> {
    Router::new().route(PATH, get(form).post(enter)).route("/leave", post(leave))
}

/// The door's address, which leads on to `asked`.
pub(super) fn leading_to(asked: &str) -> String {
    match asked {
        "/" => PATH.to_owned(),
        asked => format!("{PATH}?next={}", link::encode(asked)),
    }
}

/// A page of ours to go on to; whatever could lead elsewhere leads to the overview.
fn onward(next: &str) -> &str {
    let own = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && !next.starts_with(PATH)
        && next.bytes().all(|b| b.is_ascii_graphic());
    if own { next } else { "/overview" }
}

impl Pages {
    /// The form, again, with what is to be said.
    pub(super) fn door_again(&self, status: StatusCode, next: &str, wrong: &str) -> Response {
        self.door(
            status,
            "enter.html",
            context! { title => "Sign in", under => self.place.as_ref(), next, wrong, shut => true },
        )
    }
}

/// `GET /enter`.
async fn form(Here(pages): Here, Query(handed): Query<Handed>, headers: HeaderMap) -> Response {
    match pages.gate() {
        Some(gate) if !gate.signed_in(&headers) => pages.door_again(StatusCode::OK, &handed.next, ""),
        _ => Redirect::to(&pages.at(onward(&handed.next))).into_response(),
    }
}

/// `POST /enter`.
async fn enter(
    Here(pages): Here,
    extensions: Extensions,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Response {
    let Some(gate) = pages.gate() else { return Redirect::to(&pages.at("/overview")).into_response() };
    let client = network(&extensions);
    match may_try(&pages, gate, &client).await {
        Ok(None) => {}
        Ok(Some(wait)) => {
            let seconds = wait.as_secs().max(1);
            let text = format!("That was tried too often. Come back in {}.", words::seconds(seconds));
            let again = pages.door_again(StatusCode::TOO_MANY_REQUESTS, &fields.next, &text);
            return ([(header::RETRY_AFTER, seconds.to_string())], again).into_response();
        }
        // Whoever stands before the door hears nothing of the house.
        Err(_) => {
            let text = "The store does not answer, and without it nobody signs in. Try again in a moment.";
            return pages.door_again(StatusCode::SERVICE_UNAVAILABLE, &fields.next, text);
        }
    }
    if !gate.password.opens(&fields.user, &fields.password) {
        tracing::warn!(network = client, "a wrong name or password for the pages");
        let text = "Name and password do not belong together.";
        return pages.door_again(StatusCode::UNAUTHORIZED, &fields.next, text);
    }
    tracing::info!(network = client, "somebody signed in to the pages");
    let cookie = gate.sessions.begin(pages.cookie_path(), over_tls(&headers));
    (AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(&pages.at(onward(&fields.next))))
        .into_response()
}

/// Whose tries these are.
pub(super) fn network(extensions: &Extensions) -> String {
    Client::of(extensions).map_or("unknown".to_owned(), |ip| Network::of(ip).to_string())
}

/// Takes one try from the allowance of this network; how long it has to wait when there is none left.
pub(super) async fn may_try(
    pages: &Pages,
    gate: &Gate,
    network: &str,
) -> Result<Option<Duration>, StoreError> {
    let reserved = pages.store.reserve(&format!("backshift-ui {network}"), TRIES).await;
    match &reserved {
        Ok(None) => {}
        Ok(Some(_)) => {
            if let Some(others) = gate.refusals.worth_a_line(Instant::now()) {
                tracing::warn!(
                    network,
                    others,
                    "signing in to the pages was tried too often; refused for a while"
                );
            }
        }
        Err(error) => {
            tracing::warn!(%error, "nobody can sign in to the pages: the store does not count the tries");
        }
    }
    reserved
}

/// `POST /leave`.
async fn leave(Here(pages): Here, request: Request) -> Response {
    let Some(gate) = pages.gate() else { return Redirect::to(&pages.at("/overview")).into_response() };
    let cookie = gate.sessions.end(request.headers(), pages.cookie_path());
    (AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(&pages.at(PATH))).into_response()
}

/// Whether the browser speaks TLS to whoever stands in front of us. The browser says so itself in `Origin`; who lies in
/// these headers gets a cookie of their own that is more or less strict, and nothing else.
fn over_tls(headers: &HeaderMap) -> bool {
    let says = |name: &str, what: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.starts_with(what))
    };
    says("origin", "https://") || says("x-forwarded-proto", "https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_elsewhere() {
        for (next, on) in [
            ("/jobs?state=dead&find=a%20b", "/jobs?state=dead&find=a%20b"),
            ("//evil.example", "/overview"),
            ("/\\evil.example", "/overview"),
            ("https://evil.example", "/overview"),
            ("/\u{9}/evil.example", "/overview"),
            ("/jobs\r\nset-cookie: a=b", "/overview"),
            ("/enter?next=/enter", "/overview"),
            ("", "/overview"),
        ] {
            assert_eq!(onward(next), on, "{next}");
        }
    }
}
