//! What runs on the writer thread. Rows are read without a copy between, and times are bound once a batch.

mod claim;
mod enqueue;
mod finish;
mod read;

pub(crate) use claim::{claim_alone_on, claim_on};
pub(crate) use enqueue::insert_on;
pub(crate) use finish::complete_on;

use uuid::{Uuid, fmt::Hyphenated};

/// An id as SQLite holds it, without an allocation.
struct IdText([u8; Hyphenated::LENGTH]);

impl IdText {
    fn new(id: Uuid) -> Self {
        let mut text = [0; Hyphenated::LENGTH];
        id.as_hyphenated().encode_lower(&mut text);
        Self(text)
    }
}

impl rusqlite::ToSql for IdText {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(rusqlite::types::ValueRef::Text(&self.0)))
    }
}
