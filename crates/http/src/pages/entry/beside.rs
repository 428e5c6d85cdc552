//! What stands beside the pages and is for those who may see them: the metrics. A program sends name and password with every
//! request (HTTP Basic).
//!
//! A program asks all day, so the right password takes from the allowance of its network once and not each time; a wrong one of the
//! same network ends that. Guessing beside such a program is no quicker than at the door.

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;

use super::{Asks, HANDED_ON, door, handed_on};
use crate::{health::METRICS, host, pages::Pages};

impl Pages {
    /// Puts the metrics of a router that shares a port with the pages behind the same question; health stays open.
    pub fn shutting(&self, beside: Router) -> Router {
        beside.layer(middleware::from_fn_with_state(self.clone(), shut))
    }
}

async fn shut(State(pages): State<Pages>, request: Request, next: Next) -> Response {
    if request.uri().path() != METRICS {
        return next.run(request).await;
    }
    let gate = match &pages.auth.0 {
        Asks::Loopback { by_proxy } => return on_loopback(*by_proxy, request, next).await,
        Asks::Around => return next.run(request).await,
        Asks::Password(gate) => gate,
    };
    if gate.signed_in(request.headers()) {
        return next.run(request).await;
    }
    let Some((user, password)) = sent(request.headers()) else {
        return refused(StatusCode::UNAUTHORIZED, ASK);
    };
    let network = door::network(request.extensions());
    let opens = gate.password.opens(&user, &password);
    if opens && gate.known.has(&network) {
        return next.run(request).await;
    }
    gate.known.forget(&network);
    match door::may_try(&pages, gate, &network).await {
        Ok(None) if opens => {
            gate.known.add(network);
            next.run(request).await
        }
        Ok(None) => {
            tracing::warn!(network, "a wrong name or password for the metrics");
            refused(StatusCode::UNAUTHORIZED, "Name and password do not belong together.\n")
        }
        Ok(Some(wait)) => {
            let seconds = wait.as_secs().max(1).to_string();
            let text = refused(StatusCode::TOO_MANY_REQUESTS, "That was tried too often.\n");
            ([(header::RETRY_AFTER, seconds)], text).into_response()
        }
        Err(_) => {
            refused(StatusCode::SERVICE_UNAVAILABLE, "The store does not answer. Try again in a moment.\n")
        }
    }
}

/// A name that somebody else points here is not ours, and what a proxy hands on is for nobody.
async fn on_loopback(by_proxy: bool, request: Request, next: Next) -> Response {
    if !by_proxy && handed_on(&request) {
        return (StatusCode::FORBIDDEN, HANDED_ON).into_response();
    }
    host::guarded(request, next).await
}

const ASK: &str =
    "Sign in to the pages, or send their name and password with each request (Prometheus: basic_auth).\n";

fn refused(status: StatusCode, text: &'static str) -> Response {
    let asks = [(header::WWW_AUTHENTICATE, "Basic realm=\"Backshift\", charset=\"UTF-8\"")];
    match status {
        StatusCode::UNAUTHORIZED => (status, asks, text).into_response(),
        _ => (status, text).into_response(),
    }
}

/// Name and password of the one `Authorization: Basic` header.
fn sent(headers: &HeaderMap) -> Option<(String, SecretString)> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let (line, second) = (lines.next()?.to_str().ok()?, lines.next());
    let (scheme, rest) = line.split_once(' ')?;
    if second.is_some() || !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned().into()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn of(lines: &[&str]) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::AUTHORIZATION, line.parse().unwrap());
        }
        sent(&headers).map(|(user, password)| (user, password.expose_secret().to_owned()))
    }

    #[test]
    fn one_header_brings_name_and_password() {
        let both = Some(("ops".to_owned(), "a:b".to_owned()));
        let right = format!("Basic {}", STANDARD.encode("ops:a:b"));
        assert_eq!(of(&[&right]), both);
        assert_eq!(of(&[&right.replace("Basic", "bAsic")]), both);
        for wrong in ["", "Basic", "Basic ", "Basic !!", "Bearer b3BzOmE=", "Basic b3Bz", "Basic /w=="] {
            assert_eq!(of(&[wrong]), None, "{wrong}");
        }
        assert_eq!(of(&[&right, &right]), None, "whoever sends two means two");
    }
}
