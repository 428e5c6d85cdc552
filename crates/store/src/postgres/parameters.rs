//! The parameters of a PostgreSQL URL: what each means, and that a mistyped one is an error.
//!
//! A parameter that is not understood is refused and not left out: `sslmod=verify-full` must not mean no TLS. Hints of
//! other tools that share the URL (`pgbouncer=true`) change nothing here, so they are let pass by name.

use std::path::PathBuf;

use backshift_core::StoreError;

use super::schema::SearchPath;

/// What tokio-postgres itself understands.
const OF_THE_CLIENT: [&str; 17] = [
    "user",
    "password",
    "dbname",
    "application_name",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];
/// What is read here.
const OURS: [&str; 6] = ["sslmode", "sslrootcert", "options", "search_path", "schema", "currentSchema"];
/// Hints for other tools: about their pools, caches and drivers, and about times, which are always UTC here.
const HINTS: [&str; 14] = [
    "pgbouncer",
    "connection_limit",
    "pool_timeout",
    "pool_max_conns",
    "pool_min_conns",
    "socket_timeout",
    "statement_cache_size",
    "statement_cache_capacity",
    "default_query_exec_mode",
    "prepared_statements",
    "supa",
    "sslsni",
    "TimeZone",
    "timezone",
];
/// May stand more than once: each names one more host.
const REPEATED: [&str; 2] = ["host", "hostaddr"];

/// The parameters, sorted out.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// For tokio-postgres, as a query.
    pub(super) kept: String,
    /// `sslmode`, when it is written.
    pub(super) mode: Option<String>,
    /// `sslrootcert`, when it is a file.
    pub(super) root_certificate: Option<PathBuf>,
    /// `sslrootcert=system`.
    pub(super) system_roots: bool,
    /// From `search_path`, `schema`, `currentSchema` or `options`.
    pub(super) search_path: Option<SearchPath>,
}

impl Parameters {
    pub(super) fn read(query: &str) -> Result<Self, StoreError> {
        let mut found = Self::default();
        let mut kept = form_urlencoded::Serializer::new(String::new());
        let mut seen: Vec<String> = Vec::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            if seen.iter().any(|before| *before == key) && !REPEATED.contains(&key.as_ref()) {
                return Err(refused(&key, "stands there twice; keep one"));
            }
            seen.push(key.clone().into_owned());
            match key.as_ref() {
                "sslmode" => found.mode = Some(value.into_owned()),
                "sslrootcert" if value == "system" => found.system_roots = true,
                "sslrootcert" => found.root_certificate = Some(PathBuf::from(value.as_ref())),
                "search_path" | "currentSchema" => found.name(SearchPath::parse(&value)?)?,
                "schema" => found.name(SearchPath::of(&value)?)?,
                "options" => {
                    let (rest, path) = options(&value);
                    if let Some(path) = path {
                        found.name(SearchPath::parse(&path)?)?;
                    }
                    if !rest.is_empty() {
                        kept.append_pair("options", &rest);
                    }
                }
                known if OF_THE_CLIENT.contains(&known) => drop(kept.append_pair(known, &value)),
                hint if HINTS.contains(&hint) => {
                    tracing::debug!(parameter = hint, "a parameter of the database URL is for other tools");
                }
                _ => return Err(refused(&key, &format!("is not known{}", nearest(&key)))),
            }
        }
        // '+' is a space in a form and a plus sign in a URL as tokio-postgres reads it.
        found.kept = kept.finish().replace('+', "%20");
        Ok(found)
    }

    fn name(&mut self, path: SearchPath) -> Result<(), StoreError> {
        match &self.search_path {
            Some(before) if *before != path => Err(StoreError::Rejected(
                "the database URL names two different schemas (search_path, schema, currentSchema, options); keep one"
                    .into(),
            )),
            _ => {
                self.search_path = Some(path);
                Ok(())
            }
        }
    }
}

/// A parameter by its name; what is not a plain word may be a piece of a password and is not shown.
fn refused(key: &str, why: &str) -> StoreError {
    let plain = key.len() <= 40 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let shown = if plain { key } else { "(not shown)" };
    StoreError::Rejected(format!("the database URL's parameter {shown} {why}"))
}

/// What is close, or what a client certificate's parameter would need.
fn nearest(key: &str) -> String {
    if matches!(key, "sslcert" | "sslkey" | "sslpassword" | "sslcrl" | "sslcrldir") {
        return ": client certificates and revocation lists are not worked by this version".into();
    }
    let known = OF_THE_CLIENT.iter().chain(&OURS).chain(&HINTS);
    let scored = known.map(|name| (strsim::damerau_levenshtein(key, name), name));
    match scored.min() {
        Some((distance, name)) if distance <= key.len() / 3 + 1 => format!("; did you mean {name}?"),
        _ => ", and what is not understood is not ignored: take it out".into(),
    }
}

/// The server's command line as libpq writes it: words split at spaces, a backslash keeps the next character. The
/// search path is taken out, because a pooler refuses or forgets what stands in `options`.
fn options(text: &str) -> (String, Option<String>) {
    let mut words = words(text).into_iter().peekable();
    let (mut rest, mut path) = (Vec::new(), None);
    while let Some(word) = words.next() {
        let (flag, setting) = match word.as_str() {
            "-c" => (Some("-c"), words.next().unwrap_or_default()),
            other if other.starts_with("-c") => (None, other[2..].to_owned()),
            other if other.starts_with("--") => (None, other[2..].to_owned()),
            other => (None, other.to_owned()),
        };
        let named = setting.split_once('=').filter(|(name, _)| {
            word.starts_with('-') && name.replace('-', "_").eq_ignore_ascii_case("search_path")
        });
        match named {
            Some((_, value)) => path = Some(value.to_owned()),
            None => {
                let kept = flag.map_or_else(|| word.clone(), |flag| format!("{flag} {}", escaped(&setting)));
                rest.push(if flag.is_some() { kept } else { escaped(&kept) });
            }
        }
    }
    (rest.join(" "), path)
}

fn words(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, all.last_mut()) {
            ('\\', Some(word)) => word.extend(characters.next()),
            (c, _) if c.is_ascii_whitespace() => all.push(String::new()),
            (c, Some(word)) => word.push(c),
            (_, None) => {}
        }
    }
    all.retain(|word| !word.is_empty());
    all
}

fn escaped(word: &str) -> String {
    let each = |c: char| if c == '\\' || c.is_ascii_whitespace() { vec!['\\', c] } else { vec![c] };
    word.chars().flat_map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_parameter_is_named_with_the_nearest_one() {
        for (query, word) in [
            ("sslmod=verify-full", "did you mean sslmode?"),
            ("serach_path=x", "did you mean search_path?"),
            ("conect_timeout=9", "did you mean connect_timeout?"),
            ("colour=blue", "not ignored"),
            ("sslcert=a.pem", "client certificates"),
            ("sslmode=disable&sslmode=verify-full", "twice"),
            ("schema=a&search_path=b", "two different schemas"),
        ] {
            let text = Parameters::read(query).unwrap_err().to_string();
            assert!(text.contains(word), "{query}: {text}");
        }
        assert!(Parameters::read("pgbouncer=true&connection_limit=1&host=a&host=b").is_ok());
        assert!(Parameters::read("schema=a&search_path=a").is_ok());
        let piece = Parameters::read("hunter2@h/d").unwrap_err().to_string();
        assert!(!piece.contains("hunter2"), "{piece}");
    }

    #[test]
    fn the_search_path_is_taken_out_of_the_options_and_the_rest_stays() {
        for (text, rest, path) in [
            ("-c search_path=jobs", "", Some("jobs")),
            ("-csearch_path=jobs -c geqo=off", "-c geqo=off", Some("jobs")),
            ("--search-path=a,b --geqo=off", "--geqo=off", Some("a,b")),
            ("-c search_path=a,\\ b", "", Some("a, b")),
            ("-c application_name=a\\ b", "-c application_name=a\\ b", None),
            ("-c statement_timeout=5s", "-c statement_timeout=5s", None),
        ] {
            assert_eq!(options(text), (rest.to_owned(), path.map(str::to_owned)), "{text}");
        }
    }
}
