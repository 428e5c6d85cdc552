//! The closures where SQLite is not compiled in: there is no connection that they could be called with.

use backshift_core::{JobId, StoreError};

use super::Take;
use crate::{
    ledger::{entry::Entry, job_row::ClaimedRow, outcome::Outcome},
    sqlite::Connection,
};

pub(crate) fn claim_on(connection: &Connection, _: &Take) -> Result<Vec<ClaimedRow>, StoreError> {
    connection.never()
}

pub(crate) fn claim_alone_on(connection: &Connection, _: &Take) -> Result<Vec<ClaimedRow>, StoreError> {
    connection.never()
}

pub(crate) fn insert_on<'e>(
    connection: &Connection,
    _: &str,
    _: impl Iterator<Item = &'e Entry>,
) -> Result<Vec<bool>, StoreError> {
    connection.never()
}

pub(crate) fn complete_on(connection: &Connection, _: &[Outcome]) -> Result<Vec<JobId>, StoreError> {
    connection.never()
}
