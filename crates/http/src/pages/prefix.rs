//! Under which path the pages stand: what a program nests them under, or what the operator's proxy puts before them.
//!
//! Whoever makes an address, in a template or a redirect, puts this before it. Templates write `{{ base }}`.

use std::{str::FromStr, sync::Arc};

use axum::{
    extract::{FromRequestParts, OriginalUri},
    http::{Uri, request::Parts},
};

use minijinja::Value;

use super::{Pages, SignedIn, theme};

/// A path before every address of the pages: empty, or `/ops/jobs`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(pub(super) Arc<str>);

/// What is not a base path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no path: write /ops or /ops/jobs, with letters, digits and -._~ between the slashes")]
pub struct NotABasePath(String);

impl FromStr for BasePath {
    type Err = NotABasePath;

    fn from_str(text: &str) -> Result<Self, NotABasePath> {
        let bare = text.strip_suffix('/').unwrap_or(text);
        let part = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
        };
        match bare.strip_prefix('/') {
            None if bare.is_empty() => Ok(Self::default()),
            Some(parts) if parts.split('/').all(part) => Ok(Self(bare.into())),
            _ => Err(NotABasePath(text.to_owned())),
        }
    }
}

impl std::fmt::Display for BasePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl BasePath {
    /// As templates write it before an address.
    pub(super) fn value(&self) -> Value {
        let text = self.0.to_string();
        if self.is_plain() { Value::from_safe_string(text) } else { text.into() }
    }

    /// Whether it means the same everywhere; what a program nests us under with a parameter may be anything.
    fn is_plain(&self) -> bool {
        self.0.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/".contains(&b))
    }
}

/// The pages as this request meets them: under the path that was asked for.
pub struct Here(pub Pages);

impl FromRequestParts<Pages> for Here {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Self::Rejection> {
        let mut pages = pages.clone();
        if pages.base.0.is_empty()
            && let Some(OriginalUri(asked)) = parts.extensions.get()
        {
            pages.base = BasePath(before(asked, &parts.uri).into());
        }
        pages.theme = theme::of(&parts.headers);
        pages.person = parts.extensions.get::<SignedIn>().map(|person| person.0.as_str().into());
        Ok(Self(pages))
    }
}

/// What a program that nests us took away from the address.
fn before<'a>(asked: &'a Uri, left: &Uri) -> &'a str {
    let prefix = match left.path() {
        "/" => Some(asked.path().trim_end_matches('/')),
        left => asked.path().strip_suffix(left),
    };
    // `//host` would be another site's address.
    prefix.filter(|prefix| !prefix.starts_with("//")).unwrap_or_default()
}

impl Pages {
    /// The whole address of one of our pages.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base.0)
    }

    /// Where the cookie of a session is sent.
    pub(super) fn cookie_path(&self) -> &str {
        if self.base.0.is_empty() || !self.base.is_plain() { "/" } else { &self.base.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_is_plain() {
        for (text, base) in
            [("", ""), ("/", ""), ("/ops", "/ops"), ("/ops/jobs/", "/ops/jobs"), ("/a.b-c_d~1", "/a.b-c_d~1")]
        {
            assert_eq!(&*text.parse::<BasePath>().unwrap().0, base, "{text}");
        }
        for bad in ["ops", "//", "/a//b", "/a/../b", "/.", "https://x", "/a b", "/a\"", "/{x}", "/a?b", "/é"]
        {
            assert!(bad.parse::<BasePath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_was_taken_away_is_put_back() {
        let of = |asked: &str, left: &str| before(&asked.parse().unwrap(), &left.parse().unwrap()).to_owned();
        assert_eq!(of("/ops/jobs?a=b", "/jobs?a=b"), "/ops");
        assert_eq!(of("/ops", "/"), "/ops");
        assert_eq!(of("/ops/", "/"), "/ops");
        assert_eq!(of("/jobs", "/jobs"), "");
        assert_eq!(of("/", "/"), "");
        assert_eq!(of("//evil.example/jobs", "/jobs"), "");
        assert_eq!(of("/elsewhere", "/jobs"), "");
    }
}
