//! What every page passes: a strict content policy, and no change asked for by another site.
//!
//! A form that another site sends is refused by `Sec-Fetch-Site`, or by `Origin` for browsers without it
//! (OWASP, Cross-Site Request Forgery Prevention). A Host that is no loopback name is refused, which stops
//! DNS rebinding.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Nothing inline, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; frame-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'";

/// Refuses foreign changes and foreign hosts, and adds the security headers.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    if !own_host(request.headers()) {
        return (StatusCode::MISDIRECTED_REQUEST, "These pages answer on loopback only.\n").into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) && !same_site(request.headers()) {
        return (StatusCode::FORBIDDEN, "This form came from another site.\n").into_response();
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

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether the request names this machine: a name that somebody else points at it is not ours.
pub(super) fn own_host(headers: &HeaderMap) -> bool {
    let Some(host) = text(headers, "host") else { return true };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_matches(['[', ']']);
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn same_site(headers: &HeaderMap) -> bool {
    match (text(headers, "sec-fetch-site"), text(headers, "origin"), text(headers, "host")) {
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
        assert!(!same_site(&headers(&[("sec-fetch-site", "cross-site"), ("host", "localhost:8080")])));
        assert!(!same_site(&headers(&[("origin", "http://evil.example"), ("host", "localhost:8080")])));
        assert!(same_site(&headers(&[("sec-fetch-site", "same-origin")])));
        assert!(same_site(&headers(&[("origin", "http://localhost:8080"), ("host", "localhost:8080")])));
    }

    #[test]
    fn a_rebound_name_is_refused() {
        for (host, own) in [
            ("localhost:8080", true),
            ("127.0.0.1:1", true),
            ("[::1]:8080", true),
            ("evil.example:8080", false),
        ] {
            let mut map = HeaderMap::new();
            map.insert("host", HeaderValue::from_static(host));
            assert_eq!(own_host(&map), own, "{host}");
        }
    }
}
