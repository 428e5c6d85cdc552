//! PostgreSQL where the feature `postgres` is off: the same names, and no value of any of them can exist.
//!
//! Opening says which feature is missing. Everything behind it compiles to nothing, so that no statement of this crate asks
//! which databases were compiled in.

use std::{convert::Infallible, time::Duration};

use backshift_core::{StoreError, way::Way};

use crate::{Access, Durability, Options, RawCell, Row, query::Statement};

/// A PostgreSQL server; none can be opened.
#[derive(Debug, Clone)]
pub struct Pg(Infallible);

/// An open transaction on PostgreSQL; there is none.
#[derive(Debug)]
pub struct PgTx(Infallible);

pub(crate) struct Session(Infallible);

#[derive(Debug)]
pub(crate) struct PgRow(Infallible);

impl Pg {
    /// Refuses.
    ///
    /// # Errors
    /// `Rejected`, with the name of the feature that is missing.
    pub fn open(_: &str, _: &Options) -> Result<Self, StoreError> {
        let text = "this program was built without PostgreSQL: add the feature `postgres` of backshift";
        Err(StoreError::Rejected(text.into()))
    }

    /// None.
    pub fn ways(&self) -> &[Way] {
        match self.0 {}
    }

    /// None.
    pub async fn access(&self) -> Result<Access, StoreError> {
        match self.0 {}
    }

    pub(crate) fn own_schema(&self) -> Option<(&str, String)> {
        match self.0 {}
    }

    pub(crate) async fn home(&self) -> Result<String, StoreError> {
        match self.0 {}
    }

    pub(crate) async fn session(&self) -> Result<Session, StoreError> {
        match self.0 {}
    }

    pub(crate) fn deadline(&self) -> Duration {
        match self.0 {}
    }

    pub(crate) fn close(&self) {
        match self.0 {}
    }

    pub(crate) async fn begin(&self, _: Durability) -> Result<PgTx, StoreError> {
        match self.0 {}
    }

    pub(crate) async fn execute(&self, _: &Statement) -> Result<(Vec<Row>, u64), StoreError> {
        match self.0 {}
    }
}

impl PgTx {
    pub(crate) async fn execute(&self, _: &Statement) -> Result<(Vec<Row>, u64), StoreError> {
        match self.0 {}
    }

    pub(crate) async fn script(&self, _: &str) -> Result<(), StoreError> {
        match self.0 {}
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self.0 {}
    }

    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        match self.0 {}
    }
}

impl Session {
    pub(crate) async fn batch(&self, _: &str, _: Duration) -> Result<(), StoreError> {
        match self.0 {}
    }

    pub(crate) async fn ask(&self, _: &str, _: Duration) -> Result<Option<String>, StoreError> {
        match self.0 {}
    }

    pub(crate) async fn notification(&mut self) -> Option<(String, String)> {
        match self.0 {}
    }

    pub(crate) async fn lost(&mut self) {
        match self.0 {}
    }
}

impl PgRow {
    pub(crate) fn place_of(&self, _: &str) -> Option<usize> {
        match self.0 {}
    }

    pub(crate) fn cell(&self, _: usize) -> Result<RawCell<'_>, String> {
        match self.0 {}
    }

    pub(crate) fn name(&self, _: usize) -> Option<&str> {
        match self.0 {}
    }
}
