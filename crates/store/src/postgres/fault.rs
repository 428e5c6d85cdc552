//! What PostgreSQL's errors mean for a caller: try later, change the request, migrate.
//!
//! The server's DETAIL is left out on purpose: it quotes values of rows.

use std::{error::Error as _, time::Duration};

use backshift_core::StoreError;
use tokio_postgres::Error;

use super::refusal::Refusal;
use crate::remedy::MISSING;

/// An error, and whether the statement may simply be sent again.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) error: StoreError,
    /// A serialization failure, a deadlock or a kept plan that no longer fits: nothing happened, the same statement may
    /// succeed now.
    pub(crate) conflict: bool,
}

impl Fault {
    pub(crate) fn deadline(limit: Duration, doing: &str) -> Self {
        let error = StoreError::Unavailable(format!("PostgreSQL did not answer within {limit:?} ({doing})"));
        Self { error, conflict: false }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self { error, conflict: false }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let conflict = error.code().is_some_and(|code| matches!(code.code(), "40001" | "40P01"));
        Self { error: store_error(&error), conflict: conflict || lost_plan(&error) }
    }
}

/// The server no longer has the prepared statement, or its plan's result has changed since (a migration): a new
/// connection prepares it anew.
fn lost_plan(error: &Error) -> bool {
    let Some(server) = error.as_db_error() else { return false };
    server.code().code() == "26000" || server.routine() == Some("RevalidateCachedQuery")
}

/// The connection ends with this error, even if it does not look closed yet.
pub(super) fn ends_connection(error: &Error) -> bool {
    match error.code() {
        Some(code) => code.code().starts_with("57P0") || code.code().starts_with("08") || lost_plan(error),
        None => error.is_closed() || matches!(client_error(error), StoreError::Unavailable(_)),
    }
}

/// The error as the port phrases it.
pub(crate) fn store_error(error: &Error) -> StoreError {
    let Some(server) = error.as_db_error() else { return client_error(error) };
    let code = server.code().code();
    let constraint = server.constraint().map(|c| format!(", constraint {c}")).unwrap_or_default();
    let hint = server.hint().map(|h| format!("; hint: {h}")).unwrap_or_default();
    let text = format!("PostgreSQL says {code}: {}{constraint}{hint}", server.message());
    by_code(code, server.constraint(), text)
}

/// What a SQLSTATE means, and the name of the rule that was broken, whichever client library brought it.
pub(crate) fn by_code(code: &str, rule: Option<&str>, text: String) -> StoreError {
    match code {
        "42P01" | "42703" => StoreError::Schema(format!("{text}; {MISSING}")),
        "23505" => StoreError::Taken { rule: rule.unwrap_or_default().to_owned(), text },
        "28P01" | "28000" => {
            StoreError::Unusable(format!("{text}; check user and password in the database URL"))
        }
        "3F000" => StoreError::Unusable(format!(
            "{text}; the schema that the database URL names is not there: make it, or name it as database.schema and \
             `backshift migrate up` makes it; a Rust program names it in `store::Options`, and `.migrate()` makes it"
        )),
        "3D000" => StoreError::Unusable(format!("{text}; check the database's name in the URL")),
        "42501" => StoreError::Unusable(format!("{text}; grant it to the role in the database URL")),
        "25006" => StoreError::Unavailable(format!(
            "{text}; this server is read-only, a standby or under maintenance"
        )),
        code if is_transient(code) => StoreError::Unavailable(text),
        _ => StoreError::Rejected(text),
    }
}

/// Connections, operator's interventions, lack of resources, conflicts and time-outs.
fn is_transient(code: &str) -> bool {
    ["08", "53", "58"].iter().any(|class| code.starts_with(class))
        || code.starts_with("57P0")
        || matches!(code, "57014" | "40001" | "40P01" | "55P03" | "25P03")
}

fn client_error(error: &Error) -> StoreError {
    let mut text = error.to_string();
    let mut source = error.source();
    let mut transient = error.is_closed() || text.contains("TLS");
    while let Some(cause) = source {
        if let Some(refusal) = Refusal::within(cause) {
            return StoreError::Unusable(refusal.to_string());
        }
        transient |= cause.is::<std::io::Error>();
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    if text.contains("password missing") {
        return StoreError::Unusable(
            "PostgreSQL asks for a password and none is set: write it into the database URL, or, for the binary, set \
             POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE"
                .into(),
        );
    }
    transient |= text.contains("timeout") || text.contains("timed out");
    if transient { StoreError::Unavailable(text) } else { StoreError::Rejected(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for code in ["08006", "53300", "57P01", "57P03", "57014", "55P03", "40P01", "53100"] {
            assert!(is_transient(code), "{code}");
        }
        for code in ["23505", "22021", "42601", "42501", "54000"] {
            assert!(!is_transient(code), "{code}");
        }
    }
}
