//! The boot check: settings of a server that would lose accepted work.
//!
//! It only reports; whether a finding ends the process is decided by whoever knows the configuration.

use std::fmt;

use backshift_core::StoreError;

use crate::{
    Database,
    sqlite::{self, Connection, Sqlite},
};

/// One setting that breaks a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsafe {
    /// Its name on the server.
    pub setting: &'static str,
    /// What it is.
    pub value: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL has {} = {}: {}", self.setting, self.value, self.remedy)
    }
}

/// The oldest server that the statements are written for.
const OLDEST: i64 = 130_000;

/// What is unsafe about the server; empty for SQLite, whose settings are our own.
///
/// # Errors
/// `Rejected` for a server that is too old or not in UTF-8: no switch makes that work.
pub async fn settings(db: &Database) -> Result<Vec<Unsafe>, StoreError> {
    let Database::Pg(_) = db else { return Ok(Vec::new()) };
    let (version, encoding): (i64, String) = db
        .sql("SELECT current_setting('server_version_num')::int, current_setting('server_encoding')")
        .one()
        .await?;
    usable(version, &encoding)?;
    let found: (String, String, String, bool) = db
        .sql(
            "SELECT current_setting('fsync'), current_setting('full_page_writes'), \
             current_setting('synchronous_commit'), pg_is_in_recovery()",
        )
        .one()
        .await?;
    Ok(judge(found))
}

fn usable(version: i64, encoding: &str) -> Result<(), StoreError> {
    if version < OLDEST {
        let (major, oldest) = (version / 10_000, OLDEST / 10_000);
        return Err(StoreError::Rejected(format!(
            "PostgreSQL {major} is too old; {oldest} or newer is needed"
        )));
    }
    if encoding != "UTF8" {
        return Err(StoreError::Rejected(format!(
            "the database's encoding is {encoding}; create one with ENCODING 'UTF8' TEMPLATE template0"
        )));
    }
    Ok(())
}

/// Reads a whole SQLite file for damage; what was found, `None` = nothing. Slow on a large file.
pub async fn damage(file: &Sqlite) -> Result<Option<String>, StoreError> {
    let look = |connection: &Connection| sqlite::query::<String>(connection, "PRAGMA quick_check(1)", &[]);
    let words = file.read(look).await?.into_iter().next();
    Ok(words.filter(|words| words != "ok"))
}

fn judge((fsync, pages, commit, standby): (String, String, String, bool)) -> Vec<Unsafe> {
    let mut findings = Vec::new();
    if fsync != "on" {
        let remedy = "a power cut loses or destroys accepted jobs; set fsync = on and reload";
        findings.push(Unsafe { setting: "fsync", value: fsync, remedy });
    }
    if pages != "on" {
        let remedy = "a power cut can tear pages; set full_page_writes = on and reload";
        findings.push(Unsafe { setting: "full_page_writes", value: pages, remedy });
    }
    if !matches!(commit.as_str(), "on" | "local" | "remote_write" | "remote_apply") {
        let remedy = "a crash loses jobs that were accepted a moment before; set synchronous_commit = on";
        findings.push(Unsafe { setting: "synchronous_commit", value: commit, remedy });
    }
    if standby {
        let remedy = "this is a standby; connect to the primary (target_session_attrs=read-write)";
        findings.push(Unsafe { setting: "pg_is_in_recovery()", value: "true".into(), remedy });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_and_another_encoding_are_refused_by_name() {
        let text = |version, encoding| usable(version, encoding).unwrap_err().to_string();
        assert!(text(120_017, "UTF8").contains("PostgreSQL 12 is too old; 13"));
        assert!(text(150_000, "SQL_ASCII").contains("SQL_ASCII"));
        assert!(usable(130_000, "UTF8").is_ok());
    }

    #[test]
    fn each_unsafe_setting_is_named_with_its_remedy() {
        let found = judge(("off".into(), "off".into(), "off".into(), true));
        let names: Vec<&str> = found.iter().map(|f| f.setting).collect();
        assert_eq!(names, ["fsync", "full_page_writes", "synchronous_commit", "pg_is_in_recovery()"]);
        assert!(found[0].to_string().contains("set fsync = on"), "{}", found[0]);
        for commit in ["on", "local", "remote_write", "remote_apply"] {
            assert_eq!(judge(("on".into(), "on".into(), commit.into(), false)), []);
        }
    }
}
