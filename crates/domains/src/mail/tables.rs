//! The tables of this domain, step by step.
//!
//! A step that was released is never changed again: the next one says what is different.

use backshift_store::{
    Sql,
    migrate::{Line, Migration},
};

/// The log of sent mails and the addresses that get none.
pub static TABLES: Line = Line {
    name: "mail",
    steps: &[Migration::first(
        "mail",
        Sql {
            pg: include_str!("migrations/0001_mail.pg.sql"),
            sqlite: include_str!("migrations/0001_mail.sqlite.sql"),
        },
    )],
    adoptable: &["email_sends"],
};
