//! What every page passes: a strict content policy, and no change asked for by another site.
//!
//! What another site sends is refused by `Sec-Fetch-Site`, or by `Origin` for browsers without it (OWASP, Cross-Site
//! Request Forgery Prevention). Which hosts the pages answer to is not decided here but around the whole program, see
//! [`loopback_only`](crate::loopback_only).

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::host;

/// Nothing inline, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; frame-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'";

/// Refuses what another site asks for, and adds the security headers.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    // A stream is reading too, but one that stays: another site could take all of them.
    let stays = request.uri().path() == super::live::PATH;
    let own = host::named(request.uri(), request.headers()).ok().flatten();
    if (!reads || stays) && !same_site(request.headers(), own.as_deref()) {
        return (StatusCode::FORBIDDEN, "This request came from another site.\n").into_response();
    }
    with_policy(next.run(request).await)
}

/// Adds the headers of every page; what the page has set itself stays.
pub(super) fn with_policy(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The one value of a header; an error when it stands there twice or is no text, which no browser sends.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ()> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => line.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// Whether a page of this host asks, or a program.
fn same_site(headers: &HeaderMap, own: Option<&str>) -> bool {
    let (Ok(site), Ok(origin)) = (text(headers, "sec-fetch-site"), text(headers, "origin")) else {
        return false;
    };
    match (site, origin, own) {
        (Some(site), _, _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, from)| from == host),
        // No browser sends a form without either header: this is a program on the same machine.
        (None, None, _) => true,
        (None, Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn forms_of_other_sites_are_refused() {
        let own = Some("localhost:8080");
        assert!(!same_site(&headers(&[("sec-fetch-site", "cross-site")]), own));
        assert!(!same_site(&headers(&[("sec-fetch-site", "same-site")]), own));
        assert!(!same_site(&headers(&[("origin", "http://evil.example")]), own));
        assert!(!same_site(&headers(&[("origin", "http://localhost:3000")]), own));
        assert!(!same_site(&headers(&[("origin", "null")]), own));
        assert!(!same_site(&headers(&[("origin", "http://localhost:8080")]), None));
        let twice = |name: &'static str, values: [&'static str; 2]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(name, HeaderValue::from_static(value));
            }
            headers
        };
        let two = twice("origin", ["http://localhost:8080", "http://evil.example"]);
        assert!(!same_site(&two, own), "the first of two says nothing of the second");
        assert!(!same_site(&twice("sec-fetch-site", ["same-origin", "cross-site"]), own));
        let mut unreadable = HeaderMap::new();
        unreadable.insert("sec-fetch-site", HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(!same_site(&unreadable, own));
        assert!(same_site(&headers(&[("sec-fetch-site", "same-origin")]), own));
        assert!(same_site(&headers(&[("origin", "http://localhost:8080")]), own));
        assert!(same_site(&headers(&[]), own));
    }
}
