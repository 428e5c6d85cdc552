//! The pages on a port of their own, beside an API, a worker or nothing.
//!
//! Whether somebody is asked for a password is decided by what the socket is bound to, not by what was written: a name may
//! lead anywhere.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use backshift_core::Store;
use backshift_http::{
    Shape,
    pages::{Auth, BasePath, Pages},
    server::{Limits, finish, serve},
};
use backshift_runtime::Shutdown;
use backshift_store::{Database, notify::Bell};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{Backend, Taken, bind, limits};
use crate::{
    config::{Config, Key, Text, keys},
    domains,
    exit::Failure,
    output,
};

/// A shorter password is refused.
const FEWEST: usize = 8;
/// How long open pages may take to hear that this ends.
const GRACE: Duration = Duration::from_secs(1);

/// The pages, listening and not yet answering.
pub(crate) struct Site {
    listener: TcpListener,
    pages: Pages,
    limits: Limits,
    url: String,
}

impl Site {
    /// The pages of an `api` or a `worker`, when `ui.listen` says that there are any; they end with `shutdown`.
    pub(crate) async fn beside(
        config: &Config,
        backend: &Backend,
        shutdown: &Shutdown,
    ) -> Result<(), Failure> {
        let Some(address) = config.some(&keys::UI_LISTEN) else { return Ok(()) };
        if backend.store.is_none() {
            return Err(Failure::configuration(format!(
                "ui.listen ({}): the pages show what the store knows, and --no-store leaves it away; remove one of the two",
                config.origin(&keys::UI_LISTEN)
            )));
        }
        let site = Self::listen(config, backend, address).await?;
        tracing::info!(url = site.url, "the pages listen");
        drop(site.serve(Router::new(), shutdown));
        Ok(())
    }

    /// Takes the port and decides who may come in.
    pub(crate) async fn listen(config: &Config, backend: &Backend, address: &str) -> Result<Self, Failure> {
        let wrong = |key: &Key<Text>, error: &dyn std::fmt::Display| {
            Failure::configuration(format!("{} ({}): {error}", key.name(), config.origin(key)))
        };
        let base: BasePath =
            config.get(&keys::UI_BASE_PATH).parse().map_err(|error| wrong(&keys::UI_BASE_PATH, &error))?;
        if config.some(&keys::UI_USER).is_none() {
            return Err(wrong(&keys::UI_USER, &"it is empty: write the name that people sign in with"));
        }
        let password = password(config)?;
        let what = match config.some(&keys::UI_LISTEN) {
            Some(_) => config.told(&keys::UI_LISTEN),
            None => format!("ui.listen (default): {address:?}"),
        };
        let listener = bind(&what, address, Taken::Refuse).await?;
        let listener = listener.ok_or_else(|| wrong(&keys::UI_LISTEN, &"no port is free"))?;
        let bound = listener.local_addr().map_err(Failure::failed)?;
        let url = format!("http://{bound}{base}");
        let mut limits = limits(config)?;
        limits.times.grace = GRACE;
        warn_of_plain_text(&bound, config);
        let database = backend.database()?;
        let (store, bell) = (Arc::clone(backend.store()?) as Arc<dyn Store>, Bell::new(database));
        let pages = Pages::new(store, place(database))
            .with_auth(auth(config, password, &bound, &url))
            .under(base)
            .read_only(config.get(&keys::UI_READ_ONLY))
            .with_own_kinds(domains::own_kinds(config))
            .with_bell(move |queue| bell.ring(&queue));
        Ok(Self { listener, pages, limits, url })
    }

    /// Where they are, as a browser writes it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Answers, with what else belongs on this port, until the shutdown begins.
    pub(crate) fn serve(self, beside: Router, shutdown: &Shutdown) -> JoinHandle<()> {
        let quiet = shutdown.clone();
        self.pages.look_ahead();
        let beside = self.pages.shutting(beside);
        let router = finish(self.pages.router().merge(beside), Shape::Problem);
        tokio::spawn(async move {
            let stop = async move { quiet.quieted().await };
            if let Err(error) = serve(self.listener, router, self.limits, stop).await {
                tracing::error!(%error, "the pages' port failed");
            }
        })
    }
}

/// Nobody is asked on loopback, unless a password is set or a proxy hands on what others ask.
fn auth(config: &Config, password: Option<SecretString>, bound: &SocketAddr, url: &str) -> Auth {
    let user = config.get(&keys::UI_USER);
    match password {
        Some(password) => Auth::password(user, password),
        None if bound.ip().is_loopback() && config.some(&keys::API_TRUSTED_PROXIES).is_none() => {
            Auth::loopback()
        }
        None => {
            let made = made();
            // Once, and not in the log.
            output::note(&format!(
                "the pages at {url} ask for a password: {user} / {} (made for this run; set ui.password or BACKSHIFT_UI_PASSWORD \
                 to keep one)",
                made.expose_secret()
            ));
            Auth::password(user, made)
        }
    }
}

/// The configured password; blank is not set.
fn password(config: &Config) -> Result<Option<SecretString>, Failure> {
    let Some(password) = config.get(&keys::UI_PASSWORD) else { return Ok(None) };
    match password.expose_secret().trim().chars().count() {
        0 => Ok(None),
        n if n < FEWEST => Err(Failure::configuration(format!(
            "ui.password ({}): it has fewer than {FEWEST} characters and can be guessed; `openssl rand -hex 16` prints a good one",
            config.origin(&keys::UI_PASSWORD)
        ))),
        _ => Ok(Some(password)),
    }
}

/// Twenty letters and digits that nobody mistakes for others: a hundred bits.
fn made() -> SecretString {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let letters: String =
        rand::random::<[u8; 20]>().iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    letters.into()
}

fn warn_of_plain_text(bound: &SocketAddr, config: &Config) {
    if !bound.ip().is_loopback() && config.some(&keys::API_TRUSTED_PROXIES).is_none() {
        tracing::warn!(
            address = %bound,
            "the pages and their password are sent without TLS: put a proxy with TLS in front, and its address into \
             api.trusted_proxies"
        );
    }
}

fn place(database: &Database) -> &'static str {
    match database {
        Database::Pg(_) => "your site · PostgreSQL",
        Database::Sqlite(_) => "your site · SQLite",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_password_is_refused_and_a_blank_one_is_none() {
        for blank in ["", " ", "\t"] {
            assert!(password(&Config::of_flags(&[("ui.password", blank)])).unwrap().is_none());
        }
        let failure = password(&Config::of_flags(&[("ui.password", "seven77")])).unwrap_err();
        let text = failure.to_string();
        assert_eq!(failure.gravity(), 78);
        assert!(text.contains("ui.password") && !text.contains("seven77"), "{text}");
        assert!(password(&Config::of_flags(&[("ui.password", "eight888")])).unwrap().is_some());
    }

    #[test]
    fn what_is_made_is_long_and_never_the_same() {
        let (one, two) = (made(), made());
        assert_eq!(one.expose_secret().len(), 20);
        assert_ne!(one.expose_secret(), two.expose_secret());
    }
}
