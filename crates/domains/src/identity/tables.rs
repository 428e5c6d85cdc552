//! The tables of this domain, step by step.
//!
//! A step that was released is never changed again: the next one says what is different.

use backshift_store::{
    Sql,
    migrate::{Line, Migration},
};

/// System C's accounts, and the challenges behind one-time codes.
pub static TABLES: Line = Line {
    name: "identity",
    steps: &[Migration::first(
        "identity",
        Sql {
            pg: include_str!("migrations/0001_identity.pg.sql"),
            sqlite: include_str!("migrations/0001_identity.sqlite.sql"),
        },
    )],
    adoptable: &["users", "plans", "subscriptions"],
};
