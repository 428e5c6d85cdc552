//! Light or dark by choice: a cookie, so that it works without scripts and a page never flashes in the other colours.

use axum::{
    Form,
    http::{HeaderMap, header},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{Here, cookies};

const COOKIE: &str = "backshift_theme";

/// What was pressed.
#[derive(Deserialize)]
pub(super) struct Chosen {
    theme: String,
}

/// The chosen theme; `None` = as the system has it.
pub(super) fn of(headers: &HeaderMap) -> Option<&'static str> {
    known(cookies::named(headers, COOKIE).next()?)
}

fn known(text: &str) -> Option<&'static str> {
    ["light", "dark"].into_iter().find(|theme| *theme == text)
}

/// `POST /theme`; back to the page where it was pressed.
pub(super) async fn choose(Here(pages): Here, headers: HeaderMap, Form(chosen): Form<Chosen>) -> Response {
    let (theme, age) = known(&chosen.theme).map_or(("", 0), |theme| (theme, 365 * 86_400));
    let cookie =
        format!("{COOKIE}={theme}; Path={}; Max-Age={age}; HttpOnly; SameSite=Lax", pages.cookie_path());
    let back = headers.get(header::REFERER).and_then(|page| page.to_str().ok());
    let back = back.and_then(|page| page.parse::<axum::http::Uri>().ok());
    let back = back.as_ref().and_then(|page| page.path_and_query()).map(|page| page.as_str());
    // The path alone: whatever host it names, this leads to ours.
    let back = back
        .and_then(|page| page.strip_prefix(&*pages.base.0))
        .filter(|page| page.starts_with('/') && !page.starts_with("//") && !page.contains('\\'));
    (AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(&pages.at(back.unwrap_or("/overview"))))
        .into_response()
}
