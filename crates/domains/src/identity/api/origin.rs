//! Facts about a request that the rules need: client address, language, trace.
//!
//! The address is the one that the server found, see [`Client`]; no route reads a header for it.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use backshift_core::wire::TRACEPARENT;

use super::Api;
use crate::identity::Origin;
use backshift_http::client::Client;

/// What was read of the request.
#[derive(Debug, Clone)]
pub(super) struct Whence(pub(super) Origin);

impl FromRequestParts<Api> for Whence {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Infallible> {
        let trace = parts.headers.get(TRACEPARENT).and_then(|v| v.to_str().ok()).filter(|t| is_trace(t));
        Ok(Self(Origin {
            ip: Client::of(&parts.extensions),
            locale: locale(&parts.headers).to_owned(),
            traceparent: trace.map(str::to_owned),
        }))
    }
}

/// `version-trace-parent-flags` in lower-case hex (<https://www.w3.org/TR/trace-context/>).
fn is_trace(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |p: &str| p.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    parts.iter().map(|p| p.len()).eq([2, 32, 16, 2]) && parts.iter().all(|p| hex(p))
}

/// C's header `lang` (`vi`, `vietnamese` …), else the first language of `Accept-Language` that has templates.
fn locale(headers: &HeaderMap) -> &'static str {
    if let Some(lang) = headers.get("lang") {
        return lang.to_str().ok().and_then(known).unwrap_or("en");
    }
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut wishes: Vec<(f32, &'static str)> = accepted.split(',').filter_map(wish).collect();
    wishes.sort_by(|a, b| b.0.total_cmp(&a.0));
    wishes.first().map_or("en", |(_, language)| language)
}

/// One entry of `Accept-Language` (RFC 9110 §12.5.4): weight and language, if we have it and it is wanted.
fn wish(entry: &str) -> Option<(f32, &'static str)> {
    let (tag, parameters) = entry.split_once(';').unwrap_or((entry, ""));
    let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.trim().parse().ok())?;
    let language = known(tag)?;
    (weight > 0.0).then_some((weight, language))
}

fn known(text: &str) -> Option<&'static str> {
    let text = text.trim().to_ascii_lowercase();
    match text.split(['-', '_']).next().unwrap_or_default() {
        "en" | "english" => Some("en"),
        "vi" | "vietnamese" => Some("vi"),
        "ja" | "japanese" => Some("ja"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), v.parse().unwrap())).collect()
    }

    #[test]
    fn the_language_is_lang_then_accept_language_then_english() {
        for (given, wanted) in [
            (&[("lang", "vi")][..], "vi"),
            (&[("lang", "Japanese"), ("accept-language", "vi")][..], "ja"),
            (&[("lang", "klingon"), ("accept-language", "vi")][..], "en"),
            (&[("accept-language", "fr;q=0.9, ja;q=0.4, vi-VN;q=0.8")][..], "vi"),
            (&[("accept-language", "ja;q=0, en;q=0.1")][..], "en"),
            (&[("accept-language", "de-DE")][..], "en"),
            (&[][..], "en"),
        ] {
            assert_eq!(locale(&headers(given)), wanted, "{given:?}");
        }
    }

    #[test]
    fn only_well_formed_traces_are_handed_on() {
        assert!(is_trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        assert!(!is_trace("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") && !is_trace("x"));
    }
}
