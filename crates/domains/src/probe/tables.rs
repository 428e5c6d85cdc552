//! The tables of this domain, step by step.
//!
//! A step that was released is never changed again: the next one says what is different.

use backshift_store::{
    Sql,
    migrate::{Line, Migration},
};

/// What the probe kind leaves behind (docs/contracts/probe.md).
pub static TABLES: Line = Line {
    name: "probe",
    steps: &[Migration::first(
        "probe",
        Sql {
            pg: include_str!("migrations/0001_probe.pg.sql"),
            sqlite: include_str!("migrations/0001_probe.sqlite.sql"),
        },
    )],
    adoptable: &[],
};
