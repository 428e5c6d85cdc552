//! A line: the tables of one owner, brought up step by step. The engine's, and one of each domain that is switched on.
//!
//! The trap: `compatible_from` is a promise to programs that are out already. A step that renames or drops what they use says its
//! own version there, or they go on and fail at the first statement.

use sha2::{Digest, Sha256};

use super::table::{Table, tables};
use crate::{Dialect, Sql};

/// The steps of one owner of tables, numbered by itself.
#[derive(Debug)]
pub struct Line {
    /// The stable name, as `backshift_migrations` keeps it.
    pub name: &'static str,
    /// In order. One that was released is never changed again; [`up`](super::up) compares its checksum.
    pub steps: &'static [Migration],
    /// The tables that another program may have made before and that can be adopted.
    pub adoptable: &'static [&'static str],
}

/// One step: the same change in the words of both databases.
#[derive(Debug)]
pub struct Migration {
    /// Its number in its line.
    pub version: u32,
    /// Its name.
    pub name: &'static str,
    /// The oldest version whose programs live with the tables as this step leaves them. A step that only adds has the one of
    /// the step before it.
    pub compatible_from: u32,
    /// What it does.
    pub text: Sql,
}

impl Line {
    /// The newest version that this program knows.
    pub fn latest(&self) -> u32 {
        self.steps.iter().map(|step| step.version).max().unwrap_or(0)
    }

    /// The tables that its steps make.
    pub fn tables(&self, dialect: Dialect) -> Vec<&'static str> {
        let made = self.steps.iter().flat_map(|step| step.tables(dialect));
        made.map(|table| table.name).collect()
    }
}

impl Migration {
    /// The one that a line begins with; it has the line's name.
    pub const fn first(name: &'static str, text: Sql) -> Self {
        Self { version: 1, name, compatible_from: 1, text }
    }

    pub(super) fn tables(&self, dialect: Dialect) -> Vec<Table> {
        tables(self.text.text(dialect))
    }

    pub(super) fn checksum(&self, dialect: Dialect) -> String {
        let digest = Sha256::digest(self.text.text(dialect).as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The ledger, the line of what waits, and what steers the fleet.
pub static ENGINE: Line = Line {
    name: "engine",
    steps: &[Migration::first(
        "engine",
        Sql {
            pg: include_str!("../../migrations/0001_engine.pg.sql"),
            sqlite: include_str!("../../migrations/0001_engine.sqlite.sql"),
        },
    )],
    adoptable: &["background_jobs"],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_a_line_are_those_that_its_text_makes() {
        let engine = ENGINE.tables(Dialect::Postgres);
        for table in ["background_jobs", "job_attempts", "job_line", "job_claims", "job_sweeps"] {
            assert!(engine.contains(&table), "{table} in {engine:?}");
        }
    }
}
