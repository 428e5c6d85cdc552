//! Reading the headers in which proxies name clients. Each entry is an address or `None` where it cannot be read.
//!
//! Several lines of one header are one list, in their order (RFC 9110 §5.3): a proxy may add a line instead of
//! appending to the last one.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header::FORWARDED};

/// The entries of a list of addresses (`X-Forwarded-For`) or of a single one (`CF-Connecting-IP`).
pub(super) fn addresses(headers: &HeaderMap, name: &HeaderName) -> Vec<Option<IpAddr>> {
    let entries = |value: &str| value.split(',').map(str::trim).map(str::to_owned).collect();
    all(headers, name, entries).into_iter().map(|entry| entry.as_deref().and_then(address)).collect()
}

/// The `for` of each element of `Forwarded` (RFC 7239 §4).
pub(super) fn forwarded(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let elements = |value: &str| split_outside_quotes(value, ',');
    let read = |element: Option<String>| element.as_deref().and_then(named_for);
    all(headers, &FORWARDED, elements).into_iter().map(read).collect()
}

/// The entries of all lines; a line that is not text is one entry that cannot be read. Empty entries say nothing
/// (RFC 9110 §5.6.1).
fn all(headers: &HeaderMap, name: &HeaderName, split: impl Fn(&str) -> Vec<String>) -> Vec<Option<String>> {
    let mut entries = Vec::new();
    for line in headers.get_all(name) {
        match line.to_str() {
            Ok(text) => entries.extend(split(text).into_iter().filter(|entry| !entry.is_empty()).map(Some)),
            Err(_) => entries.push(None),
        }
    }
    entries
}

/// `203.0.113.9`, `203.0.113.9:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match bare {
        Some(v6) => IpAddr::V6(v6.parse().ok()?),
        None => text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?,
    };
    Some(ip.to_canonical())
}

/// The address in the one `for` of an element.
fn named_for(element: &str) -> Option<IpAddr> {
    let mut named = split_outside_quotes(element, ';').into_iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().to_owned())
    });
    let value = named.next()?;
    if named.next().is_some() {
        return None;
    }
    match value.strip_prefix('"') {
        Some(rest) => address(rest.strip_suffix('"')?),
        None => address(&value),
    }
}

/// The parts of a list whose quoted strings may hold its separator.
fn split_outside_quotes(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        match (c == separator && !quoted, parts.last_mut()) {
            (false, Some(part)) => part.push(c),
            _ => parts.push(String::new()),
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).collect()
}
