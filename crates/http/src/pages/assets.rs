//! The style sheet, the mark and the two small scripts, built into the binary.

use axum::{Router, http::header, routing::get};

const LOOK: &str = include_str!("../../assets/look.css");
const LIVE: &str = include_str!("../../assets/live.js");
const KEYS: &str = include_str!("../../assets/keys.js");
const MARK: &str = include_str!("../../assets/mark.svg");

/// Whether this is the address of an asset: the door needs them too.
pub(super) fn has(path: &str) -> bool {
    path.starts_with("/assets/") || path == "/favicon.ico"
}

/// The routes of the assets.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let css = ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], LOOK);
    let js = |text| ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], text);
    let mark = || async { ([(header::CONTENT_TYPE, "image/svg+xml")], MARK) };
    Router::new()
        .route("/assets/look.css", get(|| async move { css }))
        .route("/assets/live.js", get(move || async move { js(LIVE) }))
        .route("/assets/keys.js", get(move || async move { js(KEYS) }))
        .route("/assets/mark.svg", get(mark))
        .route("/favicon.ico", get(mark))
}
