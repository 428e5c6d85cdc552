//! The pages that show jobs, queues and workers and steer them, for a program that speaks axum. Feature `ui`.
//!
//! Nest it as a service (axum 0.8, `nest_service`) where you like: every address follows, with and without a slash at its end,
//! and it fits a router that has a state. Who may see it is your decision, see [`Auth`].

use backshift_http::pages::Pages;

pub use backshift_http::pages::{Auth, SignedIn};

use crate::Backshift;

/// The pages of this site.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use backshift::{Backshift, ui};
///
/// let site = Backshift::embedded("jobs.db").await?;
/// let auth = ui::Auth::password("ops", "correct horse battery");
/// let app: axum::Router = axum::Router::new().nest_service("/backshift", ui::router(&site, auth));
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
pub fn router(site: &Backshift, auth: Auth) -> axum::Router {
    pages(site, auth).router()
}

/// The same, and nothing can be changed there.
pub fn read_only(site: &Backshift, auth: Auth) -> axum::Router {
    pages(site, auth).read_only(true).router()
}

fn pages(site: &Backshift, auth: Auth) -> Pages {
    let bell = backshift_store::notify::Bell::new(site.database());
    Pages::new(site.store(), site.broker().name()).with_auth(auth).with_bell(move |queue| bell.ring(&queue))
}
