//! Who may see the pages: everybody on this machine, whoever knows the password, or whom the program around lets in.
//!
//! Nobody is asked on loopback because nothing else reaches it; so there only names of this machine are answered, and
//! nothing that came by a proxy. Everywhere else somebody signs in.

mod beside;
mod door;
mod known;
mod password;
mod refusals;
mod sessions;

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, Version, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use secrecy::SecretString;

use super::{Here, assets, live};
use known::Known;
use password::Password;
use refusals::Refusals;
use sessions::Sessions;

pub(super) use door::router;

/// Who may see the pages and press their buttons.
#[derive(Clone)]
pub struct Auth(pub(super) Asks);

impl Default for Auth {
    /// As [`Auth::loopback`], and through the tunnels of a developer's machine as well.
    fn default() -> Self {
        Self(Asks::Loopback { by_proxy: true })
    }
}

/// Who is asked, and by whom.
#[derive(Clone)]
pub(super) enum Asks {
    /// Nobody: this machine alone gets here.
    Loopback {
        /// Also when a proxy hands on what others ask.
        by_proxy: bool,
    },
    /// The program that these pages are nested in has asked already.
    Around,
    /// We ask for this password.
    Password(Arc<Gate>),
}

impl Auth {
    /// Asks nobody, and answers on names of this machine only: for a listener on loopback. What a proxy hands on is refused,
    /// because nobody knows who asked the proxy.
    pub fn loopback() -> Self {
        Self(Asks::Loopback { by_proxy: false })
    }

    /// Asks for this name and this password. A session lasts for twelve hours and ends with the process. Tries are counted by
    /// network: a program that serves this itself notes the socket's address, with `into_make_service_with_connect_info`,
    /// because without it all clients are one.
    pub fn password(user: &str, password: impl Into<SecretString>) -> Self {
        Self(Asks::Password(Arc::new(Gate {
            password: Password::new(user, &password.into()),
            sessions: Sessions::new(),
            refusals: Refusals::default(),
            known: Known::default(),
        })))
    }

    /// Asks nobody, because the program around has its own layer that does. Without such a layer everybody who reaches the
    /// program sees every job and can cancel it.
    pub fn of_the_program() -> Self {
        Self(Asks::Around)
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Asks::Loopback { .. } => "Auth::loopback",
            Asks::Around => "Auth::of_the_program",
            Asks::Password(_) => "Auth::password",
        })
    }
}

/// A password, and who has entered it.
pub(super) struct Gate {
    password: Password,
    sessions: Sessions,
    refusals: Refusals,
    known: Known,
}

impl Gate {
    /// Who sends this, if it is somebody who signed in.
    fn signed_in(&self, headers: &HeaderMap) -> bool {
        self.sessions.ids(headers).any(|id| self.sessions.holds(id))
    }
}

impl super::Pages {
    /// As whom somebody had to sign in to see this.
    pub(super) fn user(&self) -> Option<&str> {
        self.gate().map(|gate| gate.password.user())
    }

    /// What stands between strangers and the pages, when something does.
    fn gate(&self) -> Option<&Gate> {
        match &self.auth.0 {
            Asks::Password(gate) => Some(gate),
            Asks::Loopback { .. } | Asks::Around => None,
        }
    }
}

/// Lets through whoever may come in; others get the door.
pub(super) async fn gate(Here(pages): Here, request: Request, next: Next) -> Response {
    let gate = match &pages.auth.0 {
        Asks::Loopback { by_proxy: false } if handed_on(&request) => {
            return (StatusCode::FORBIDDEN, HANDED_ON).into_response();
        }
        Asks::Loopback { .. } | Asks::Around => return next.run(request).await,
        Asks::Password(gate) => gate,
    };
    let path = request.uri().path();
    let free = path == door::PATH || assets::has(path);
    if free || gate.signed_in(request.headers()) {
        return next.run(request).await;
    }
    if path == live::PATH || !wants_page(request.headers()) {
        return (StatusCode::UNAUTHORIZED, "Sign in first.\n").into_response();
    }
    let asked = request.uri().path_and_query().map_or("/", |asked| asked.as_str());
    match request.method().is_safe() {
        true => Redirect::to(&pages.at(&door::leading_to(asked))).into_response(),
        // Nothing was done, and whoever pressed the button must know.
        false => pages.door_again(StatusCode::UNAUTHORIZED, "", "You were signed out. Nothing was done."),
    }
}

const HANDED_ON: &str =
    "A proxy handed this on, and these pages ask nobody for a password: set ui.password.\n";

/// What proxies write, by its whole name or its beginning.
const OF_PROXIES: [&str; 12] = [
    "x-forwarded",
    "forwarded",
    "via",
    "x-real-ip",
    "x-original-",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "fastly-",
    "cf-",
    "x-envoy-",
    "x-appengine-",
];

/// Whether a proxy says that it is one, by what it writes or by what it speaks: nginx as it comes names nobody, but asks in
/// HTTP/1.0, which no browser does.
fn handed_on(request: &Request) -> bool {
    let of_proxies = |name: &str| OF_PROXIES.iter().any(|theirs| name.starts_with(theirs));
    request.version() == Version::HTTP_10 || request.headers().keys().any(|name| of_proxies(name.as_str()))
}

pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}
