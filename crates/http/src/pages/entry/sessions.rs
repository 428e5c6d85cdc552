//! Who has signed in: random ids in a cookie, their digests here, bounded in number and time.
//!
//! The cookie's name is this process's own. Two programs on one host share their cookies whatever their ports are, and
//! would sign each other out.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::http::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::super::cookies;

/// How long a session lasts, used or not.
const LASTS: Duration = Duration::from_secs(12 * 3600);
/// So many are kept; one more ends the oldest.
const MOST: usize = 1000;

type Key = [u8; 32];

/// The sessions of this process.
pub(super) struct Sessions {
    cookie: String,
    begun: Mutex<HashMap<Key, Instant>>,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self { cookie: format!("backshift_ui_{}", hex(&rand::random::<[u8; 4]>())), begun: Mutex::default() }
    }

    /// The ids that a request brings.
    pub(super) fn ids<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        cookies::named(headers, &self.cookie)
    }

    /// Begins one; the value of `Set-Cookie`.
    pub(super) fn begin(&self, path: &str, over_tls: bool) -> String {
        let id = hex(&rand::random::<Key>());
        let mut begun = self.begun();
        begun.retain(|_, since| since.elapsed() < LASTS);
        if begun.len() >= MOST
            && let Some(oldest) = begun.iter().min_by_key(|(_, since)| **since).map(|(key, _)| *key)
        {
            begun.remove(&oldest);
        }
        begun.insert(key(&id), Instant::now());
        self.cookie(&id, LASTS.as_secs(), path, over_tls)
    }

    /// Whether this id was given out here and has not ended.
    pub(super) fn holds(&self, id: &str) -> bool {
        self.begun().get(&key(id)).is_some_and(|since| since.elapsed() < LASTS)
    }

    /// Ends what the request brings; the value of `Set-Cookie`.
    pub(super) fn end(&self, headers: &HeaderMap, path: &str) -> String {
        let mut begun = self.begun();
        for id in self.ids(headers) {
            begun.remove(&key(id));
        }
        self.cookie("", 0, path, false)
    }

    fn cookie(&self, id: &str, seconds: u64, path: &str, over_tls: bool) -> String {
        let secure = if over_tls { "; Secure" } else { "" };
        // Lax: a link in a mail or a chat leads in; what changes something is asked for its origin as well.
        format!("{}={id}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}", self.cookie)
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<Key, Instant>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept of an id: looking it up tells nothing about the ids that there are.
fn key(id: &str) -> Key {
    Sha256::digest(id.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    fn id(cookie: &str) -> String {
        cookie.split(['=', ';']).nth(1).unwrap().to_owned()
    }

    fn headers(cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            format!("a=b; {}; c=d", cookie.split(';').next().unwrap()).parse().unwrap(),
        );
        headers
    }

    #[test]
    fn a_session_is_known_to_its_process_until_it_ends() {
        let (here, elsewhere) = (Sessions::new(), Sessions::new());
        let cookie = here.begin("/", false);
        let sent = headers(&cookie);
        assert!(here.ids(&sent).all(|id| here.holds(id)) && here.ids(&sent).count() == 1);
        assert_eq!(elsewhere.ids(&sent).count(), 0, "the cookie has another name there");
        assert!(!elsewhere.holds(&id(&cookie)));
        assert!(!here.holds("") && !here.holds(&id(&cookie)[1..]));
        here.end(&sent, "/");
        assert!(!here.holds(&id(&cookie)));
    }

    #[test]
    fn sessions_are_bounded_and_the_oldest_goes() {
        let sessions = Sessions::new();
        let first = id(&sessions.begin("/", true));
        let second = id(&sessions.begin("/", true));
        for _ in 0..MOST - 1 {
            sessions.begin("/", true);
        }
        assert!(!sessions.holds(&first) && sessions.holds(&second));
        assert_eq!(sessions.begun().len(), MOST);
    }

    #[test]
    fn the_cookie_is_for_this_site_alone() {
        let sessions = Sessions::new();
        let cookie = sessions.begin("/ops", true);
        for part in ["Path=/ops", "HttpOnly", "SameSite=Lax", "Secure", "Max-Age=43200"] {
            assert!(cookie.split("; ").any(|one| one == part), "{part}: {cookie}");
        }
        assert!(!sessions.begin("/", false).contains("Secure"));
    }
}
