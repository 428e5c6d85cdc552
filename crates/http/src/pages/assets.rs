//! The style sheet, the mark and the one small script, built into the binary.

use axum::{Router, http::header, routing::get};

const LOOK: &str = include_str!("../../assets/look.css");
const LIVE: &str = include_str!("../../assets/live.js");
const MARK: &str = include_str!("../../assets/mark.svg");

/// The routes of the assets.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let css = ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], LOOK);
    let js = ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], LIVE);
    let mark = || async { ([(header::CONTENT_TYPE, "image/svg+xml")], MARK) };
    Router::new()
        .route("/assets/look.css", get(|| async move { css }))
        .route("/assets/live.js", get(|| async move { js }))
        .route("/assets/mark.svg", get(mark))
        .route("/favicon.ico", get(mark))
}
