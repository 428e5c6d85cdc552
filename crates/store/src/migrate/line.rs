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
    pub(super) fn tables(&self, dialect: Dialect) -> Vec<Table> {
        tables(self.text.text(dialect))
    }

    pub(super) fn checksum(&self, dialect: Dialect) -> String {
        let digest = Sha256::digest(self.text.text(dialect).as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A step whose two texts lie in `migrations/<line>/<file>.{pg,sqlite}.sql`.
macro_rules! step {
    ($version:literal, $name:literal, $compatible_from:literal, $file:literal) => {
        Migration {
            version: $version,
            name: $name,
            compatible_from: $compatible_from,
            text: Sql {
                pg: include_str!(concat!("../../migrations/", $file, ".pg.sql")),
                sqlite: include_str!(concat!("../../migrations/", $file, ".sqlite.sql")),
            },
        }
    };
}

/// The ledger, the line of what waits, and what steers the fleet.
pub static ENGINE: Line = Line {
    name: "engine",
    steps: &[step!(1, "engine", 1, "engine/0001_engine")],
    adoptable: &["background_jobs"],
};

/// The log of sent mails and the addresses that get none.
pub static MAIL: Line =
    Line { name: "mail", steps: &[step!(1, "mail", 1, "mail/0001_mail")], adoptable: &["email_sends"] };

/// System C's accounts, and the challenges behind one-time codes.
pub static IDENTITY: Line = Line {
    name: "identity",
    steps: &[step!(1, "identity", 1, "identity/0001_identity")],
    adoptable: &["users", "plans", "subscriptions"],
};

/// The probe kind (docs/contracts/probe.md).
pub static PROBE: Line =
    Line { name: "probe", steps: &[step!(1, "probe", 1, "probe/0001_probe")], adoptable: &[] };

/// Every line there is, the engine's first.
pub static ALL: [&Line; 4] = [&ENGINE, &MAIL, &IDENTITY, &PROBE];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_of_a_line_are_numbered_and_their_promises_grow() {
        for line in ALL {
            let mut oldest = 1;
            for (step, number) in line.steps.iter().zip(1..) {
                assert_eq!(step.version, number, "{}", line.name);
                assert!((oldest..=number).contains(&step.compatible_from), "{} {number}", line.name);
                oldest = step.compatible_from;
            }
            for dialect in [Dialect::Postgres, Dialect::Sqlite] {
                let made = line.tables(dialect);
                assert!(line.adoptable.iter().all(|table| made.contains(table)), "{made:?}");
            }
        }
        let engine = ENGINE.tables(Dialect::Postgres);
        for table in ["background_jobs", "job_attempts", "job_line", "job_claims", "job_sweeps"] {
            assert!(engine.contains(&table), "{table} in {engine:?}");
        }
    }
}
