//! SQLite where the feature `embedded` is off: the same names, and no value of any of them can exist. See
//! `postgres.rs` beside this file.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
};

use backshift_core::StoreError;

use crate::{Durability, FromRow, Options, RawCell, Row, Value, query::Statement};

/// A SQLite file; none can be opened.
#[derive(Debug, Clone)]
pub struct Sqlite(Infallible);

/// An open transaction on SQLite; there is none.
#[derive(Debug)]
pub struct SqliteTx(Infallible);

/// A connection to a file; there is none.
#[derive(Debug)]
pub struct Connection(Infallible);

#[derive(Debug)]
pub(crate) struct LiteRow(Infallible);

/// Refuses.
///
/// # Errors
/// `Rejected`, with the name of the feature that is missing.
pub fn path_of(_: &str) -> Result<PathBuf, StoreError> {
    Err(absent())
}

fn absent() -> StoreError {
    let text = "this program was built without SQLite: add the feature `embedded` of backshift";
    StoreError::Rejected(text.into())
}

/// Cannot be called.
pub fn query<T: FromRow>(connection: &Connection, _: &str, _: &[Value]) -> Result<Vec<T>, StoreError> {
    connection.never()
}

/// Cannot be called.
pub fn run(connection: &Connection, _: &str, _: &[Value]) -> Result<u64, StoreError> {
    connection.never()
}

pub(crate) fn script(connection: &Connection, _: &str) -> Result<(), StoreError> {
    connection.never()
}

impl Connection {
    pub(crate) fn never(&self) -> ! {
        match self.0 {}
    }
}

impl Sqlite {
    /// Refuses, as [`path_of`].
    ///
    /// # Errors
    /// `Rejected`, with the name of the feature that is missing.
    pub fn open(_: &Path, _: &Options) -> Result<Self, StoreError> {
        Err(absent())
    }

    /// None.
    pub fn path(&self) -> &Path {
        match self.0 {}
    }

    pub(crate) fn canonical_path(&self) -> &Path {
        match self.0 {}
    }

    pub(crate) fn still_there(&self) -> Result<(), StoreError> {
        match self.0 {}
    }

    /// Cannot be called.
    pub async fn write<T, F>(&self, _: Durability, _: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        match self.0 {}
    }

    /// Cannot be called.
    pub async fn read<T, F>(&self, _: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        match self.0 {}
    }

    pub(crate) async fn peek<T, F>(&self, _: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        match self.0 {}
    }

    pub(crate) async fn begin(&self, _: Durability) -> Result<SqliteTx, StoreError> {
        match self.0 {}
    }

    pub(crate) async fn execute(&self, _: Statement) -> Result<(Vec<Row>, u64), StoreError> {
        match self.0 {}
    }

    pub(crate) async fn close(&self) {
        match self.0 {}
    }
}

impl SqliteTx {
    /// Cannot be called.
    pub async fn with<T, F>(&self, _: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        match self.0 {}
    }

    pub(crate) async fn execute(&self, _: Statement) -> Result<(Vec<Row>, u64), StoreError> {
        match self.0 {}
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self.0 {}
    }

    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        match self.0 {}
    }
}

impl LiteRow {
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
