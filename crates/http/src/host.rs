//! Which host a request names, and whether that is this machine.
//!
//! A name can stand in three places: the target's authority (HTTP/2 `:authority`, HTTP/1 absolute form) and the Host
//! header. A guard that looks at one is passed by the others, so a request that names two hosts is refused, and so is
//! a host that is more than a name and a port (RFC 9112 §3.2, RFC 9110 §4.2.4).

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, Uri, Version, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Refuses requests whose host is missing, doubled or malformed; for each request that comes by a socket.
pub(crate) fn check(parts: &Parts) -> Result<(), &'static str> {
    match named(&parts.uri, &parts.headers)? {
        None if parts.version == Version::HTTP_11 => Err("A request of HTTP/1.1 has a Host header"),
        _ => Ok(()),
    }
}

/// The host that the request names, in lower case and with its port.
pub(crate) fn named(uri: &Uri, headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let mut lines = headers.get_all(header::HOST).iter();
    let (line, second) = (lines.next(), lines.next());
    if second.is_some() {
        return Err("The request has two Host headers");
    }
    let line = match line.map(|line| line.to_str()) {
        Some(Err(_)) => return Err("The Host header is no host"),
        Some(Ok(text)) => Some(text.to_ascii_lowercase()),
        None => None,
    };
    let target = uri.authority().map(|authority| authority.as_str().to_ascii_lowercase());
    let host = match (target, line) {
        (Some(target), Some(line)) if target != line => return Err("The request names two hosts"),
        (Some(host), _) | (None, Some(host)) => host,
        (None, None) => return Ok(None),
    };
    match parts(&host) {
        Some(_) => Ok(Some(host)),
        None => Err("The Host header is no host"),
    }
}

/// Only requests to a name of this machine reach this router: a name that somebody else points here is not ours (DNS
/// rebinding), whatever it asks for.
pub fn loopback_only(router: axum::Router) -> axum::Router {
    router.layer(axum::middleware::from_fn(guarded))
}

pub(crate) async fn guarded(request: Request, next: Next) -> Response {
    match named(request.uri(), request.headers()) {
        Err(why) => (StatusCode::BAD_REQUEST, format!("{why}.\n")).into_response(),
        Ok(Some(host)) if !is_loopback(&host) => {
            (StatusCode::MISDIRECTED_REQUEST, "This answers on loopback names only.\n").into_response()
        }
        // No browser leaves the host out: this is a program, or one of HTTP/1.0.
        Ok(_) => next.run(request).await,
    }
}

/// Whether this host, with or without a port, is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let Some((name, _)) = parts(host) else { return false };
    let name = name.strip_suffix('.').unwrap_or(name);
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    let is_address = |ip: std::net::IpAddr| ip.to_canonical().is_loopback();
    name.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(is_address)
}

/// Name and port of a host; `None` for user information, a path, or a port that is not a number.
fn parts(host: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = match host.strip_prefix('[') {
        Some(_) => {
            let end = host.find(']')? + 1;
            (&host[..end], host[end..].strip_prefix(':').or((end == host.len()).then_some(""))?)
        }
        None => host.split_once(':').map_or((host, ""), |(name, port)| (name, port)),
    };
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&c);
    let bracketed = |c: u8| c.is_ascii_hexdigit() || b"[]:.".contains(&c);
    let fits = match name.starts_with('[') {
        true => name.bytes().all(bracketed),
        false => !name.is_empty() && name.bytes().all(plain),
    };
    let port = match port {
        "" => None,
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        _ => return None,
    };
    fits.then_some((name, port))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, Method};

    use super::*;

    fn asked(target: &str, hosts: &[&str]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
        }
        named(&target.parse().unwrap(), &headers)
    }

    #[test]
    fn a_request_names_one_host_wherever_it_stands() {
        assert_eq!(asked("/", &["Localhost:8080"]), Ok(Some("localhost:8080".into())));
        assert_eq!(asked("http://127.0.0.1:1/", &["127.0.0.1:1"]), Ok(Some("127.0.0.1:1".into())));
        assert_eq!(asked("http://evil.example/", &[]), Ok(Some("evil.example".into())));
        assert_eq!(asked("/", &[]), Ok(None));
        for (target, hosts) in [
            ("http://evil.example/", &["localhost"][..]),
            ("http://localhost/", &["evil.example"]),
            ("/", &["localhost", "localhost"]),
            ("/", &["localhost", "evil.example"]),
            ("/", &["localhost:80@evil.example"]),
            ("/", &["user@localhost"]),
            ("/", &["localhost:x"]),
            ("/", &["localhost:99999"]),
            ("/", &["localhost/evil"]),
            ("/", &["localhost, evil.example"]),
            ("/", &["local host"]),
            ("/", &["[::1"]),
            ("/", &["[::1]x"]),
            ("/", &["::1"]),
            ("/", &[""]),
            ("/", &["loc\u{e4}lhost"]),
        ] {
            assert!(asked(target, hosts).is_err(), "{target} {hosts:?}");
        }
    }

    #[test]
    fn only_this_machine_is_this_machine() {
        for own in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "localhost.:1",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:8080",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_loopback(own), "{own}");
        }
        for foreign in [
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "[::]",
            "10.0.0.1",
            "localhost..",
            "a.localhost",
            "user@localhost",
            "2130706433",
        ] {
            assert!(!is_loopback(foreign), "{foreign}");
        }
    }

    #[test]
    fn http_1_1_has_a_host() {
        let parts = |version| {
            let request = axum::http::Request::builder().method(Method::GET).uri("/").version(version);
            request.body(()).unwrap().into_parts().0
        };
        assert!(check(&parts(Version::HTTP_11)).is_err());
        assert!(check(&parts(Version::HTTP_10)).is_ok());
    }
}
