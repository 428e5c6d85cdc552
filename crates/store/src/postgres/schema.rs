//! In which schema the tables are, said by the URL or by `database.schema`.
//!
//! A transaction pooler forgets what a session was told and refuses `options` at start, so the path is set inside each
//! transaction there, and once a session on a direct connection.

use backshift_core::StoreError;

/// The longest name that PostgreSQL keeps whole.
const LONGEST: usize = 63;

/// Schemas in order, each as the server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SearchPath(Vec<String>);

impl SearchPath {
    /// One schema, spelled exactly.
    pub(super) fn of(name: &str) -> Result<Self, StoreError> {
        checked(name).map(|name| Self(vec![name]))
    }

    /// A list as PostgreSQL reads it: unquoted names are folded to lower case.
    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        let mut names = Vec::new();
        let mut rest = text.trim();
        loop {
            let (name, after) = match rest.strip_prefix('"') {
                Some(quoted) => unquoted(quoted)?,
                None => {
                    let (name, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                    (name.trim().to_lowercase(), after)
                }
            };
            names.push(checked(&name)?);
            match after.trim_start().strip_prefix(',') {
                Some(more) => rest = more.trim_start(),
                None if after.trim().is_empty() => return Ok(Self(names)),
                None => return Err(wrong()),
            }
        }
    }

    /// As SQL: `"a", "b"`.
    pub(super) fn sql(&self) -> String {
        self.0.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
    }
}

/// A name as SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Up to the closing quote, and what follows it.
fn unquoted(text: &str) -> Result<(String, &str), StoreError> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"').ok_or_else(wrong)?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Ok((name, rest)),
        }
    }
}

fn checked(name: &str) -> Result<String, StoreError> {
    let usable = !name.is_empty() && name.len() <= LONGEST && !name.chars().any(char::is_control);
    if usable { Ok(name.to_owned()) } else { Err(wrong()) }
}

fn wrong() -> StoreError {
    StoreError::Rejected(
        "the schema of the database (search_path, schema, database.schema) is a name of 1 to 63 bytes, or a list of such \
         names with commas between"
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_the_server_reads_it() {
        for (text, sql) in [
            ("jobs", "\"jobs\""),
            ("Jobs, public", "\"jobs\", \"public\""),
            ("\"Jobs\",\"$user\"", "\"Jobs\", \"$user\""),
            ("\"a\"\"b\"", "\"a\"\"b\""),
            ("\"a,b\" , c", "\"a,b\", \"c\""),
        ] {
            assert_eq!(SearchPath::parse(text).unwrap().sql(), sql, "{text}");
        }
        assert_eq!(SearchPath::of("Jobs\"; DROP").unwrap().sql(), "\"Jobs\"\"; DROP\"");
        for text in ["", "a,", ",a", "\"a", "\"a\"b", "a\u{0}b", &"x".repeat(64)] {
            assert!(SearchPath::parse(text).is_err(), "{text}");
        }
    }
}
