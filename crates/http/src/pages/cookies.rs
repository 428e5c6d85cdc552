//! What a browser sends back: cookies by their name, wherever in the request they stand.
//!
//! HTTP/1.1 has them in one line. HTTP/2 may send a line for each, and a proxy may split them too: all lines are read.

use axum::http::{HeaderMap, header};

/// The values under this name, in the order in which they came.
pub fn named<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let cookies = lines.flat_map(|line| line.split("; "));
    cookies.filter_map(move |cookie| cookie.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_in_every_line_and_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        for line in ["a=b; key=one; c=d", "keys=x", "\u{e9}=y", "key=two", "c=d; key="] {
            headers.append(header::COOKIE, line.parse().unwrap());
        }
        assert_eq!(named(&headers, "key").collect::<Vec<_>>(), ["one", "two", ""]);
        assert_eq!(named(&headers, "ke").count(), 0);
    }
}
