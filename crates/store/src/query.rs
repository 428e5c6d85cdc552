//! One statement with its parameters, bound to a database or an open transaction.
//!
//! Parameters are `$1`, `$2` … on both databases: first the bound values, then the columns of a batch.

use std::borrow::Cow;

use backshift_core::StoreError;

use crate::{Column, Database, Dialect, FromRow, Row, Tx, Value};

/// A statement's text for both databases; a plain `&'static str` is the same for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sql {
    /// For PostgreSQL.
    pub pg: &'static str,
    /// For SQLite.
    pub sqlite: &'static str,
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self { pg: text, sqlite: text }
    }
}

impl Sql {
    /// The text for this database.
    pub const fn text(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Postgres => self.pg,
            Dialect::Sqlite => self.sqlite,
        }
    }
}

/// How sure a commit must be before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// On disk: survives a power cut.
    #[default]
    Strict,
    /// May be undone by a crash of the database's machine, never torn: the last moments happen again.
    Relaxed,
}

impl Durability {
    /// The surer of the two.
    pub(crate) fn at_least(self, least: Self) -> Self {
        if least == Self::Strict { least } else { self }
    }
}

/// Where statements go: a [`Database`] or a [`Tx`].
pub trait Executor: Sync {
    /// Begins a statement from its text.
    fn sql(&self, text: impl Into<Sql>) -> Query<'_> {
        let text = text.into().text(self.dialect());
        Query { on: self.target(), statement: Statement::new(Cow::Borrowed(text)) }
    }

    /// Begins a statement that was put together at run time. Values belong into [`Query::bind`], never in here.
    fn text(&self, text: String) -> Query<'_> {
        Query { on: self.target(), statement: Statement::new(Cow::Owned(text)) }
    }

    /// Which database it is.
    fn dialect(&self) -> Dialect;

    #[doc(hidden)]
    fn target(&self) -> Target<'_>;
}

#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    Db(&'a Database),
    Tx(&'a Tx),
}

/// Text and parameters, ready to travel to another thread.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) text: Cow<'static, str>,
    pub(crate) values: Vec<Value>,
    pub(crate) columns: Vec<Column>,
    pub(crate) durability: Durability,
    /// PostgreSQL plans it for a long table.
    pub(crate) by_index: bool,
}

/// A statement that is being put together. Nothing happens before `all`, `optional`, `one` or `run`.
#[derive(Debug)]
#[must_use = "nothing happens before all, optional, one or run"]
pub struct Query<'a> {
    on: Target<'a>,
    statement: Statement,
}

impl Query<'_> {
    /// The next parameter.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.statement.values.push(value.into());
        self
    }

    /// The next parameter of a batch; numbered after every bound value.
    pub fn column(mut self, column: impl Into<Column>) -> Self {
        self.statement.columns.push(column.into());
        self
    }

    /// The next parameters of a batch, all of one length.
    pub fn columns(mut self, columns: impl Into<Vec<Column>>) -> Self {
        self.statement.columns.extend(columns.into());
        self
    }

    /// An optional filter: `and("status =", Some(x))` appends ` AND status = $n`, `None` nothing. The text so far
    /// must end inside a `WHERE` clause.
    pub fn and(self, condition: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.push(" AND ").push(condition).push(" ").push_bind(value),
            None => self,
        }
    }

    /// Appends text.
    pub fn push(mut self, text: &str) -> Self {
        self.statement.text.to_mut().push_str(text);
        self
    }

    /// Appends `$n` and binds the value to it.
    pub fn push_bind(mut self, value: impl Into<Value>) -> Self {
        self.statement.values.push(value.into());
        let mark = format!("${}", self.statement.values.len());
        self.push(&mark)
    }

    /// Answers before the commit is on disk. Inside a transaction the transaction decides, not its statements.
    pub fn relaxed(self) -> Self {
        self.durability(Durability::Relaxed)
    }

    /// PostgreSQL goes by its indexes, however short the table is when the plan is made: plans are kept, and tables grow. Relaxed
    /// statements do so anyway. Inside a transaction the transaction decides.
    pub(crate) fn by_index(mut self) -> Self {
        self.statement.by_index = true;
        self
    }

    /// How sure the commit must be.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.statement.durability = durability;
        self
    }

    /// Every row of the answer.
    pub async fn all<T: FromRow>(self) -> Result<Vec<T>, StoreError> {
        self.execute().await?.0.iter().map(T::from_row).collect()
    }

    /// The first row, if there is one.
    pub async fn optional<T: FromRow>(self) -> Result<Option<T>, StoreError> {
        self.execute().await?.0.first().map(T::from_row).transpose()
    }

    /// The first row; none is an error.
    pub async fn one<T: FromRow>(self) -> Result<T, StoreError> {
        let found = self.optional().await?;
        found.ok_or_else(|| StoreError::NotFound("the statement answered no row".into()))
    }

    /// How many rows were changed.
    pub async fn run(self) -> Result<u64, StoreError> {
        Ok(self.execute().await?.1)
    }

    async fn execute(self) -> Result<(Vec<Row>, u64), StoreError> {
        self.statement.check()?;
        match self.on {
            Target::Db(Database::Pg(pg)) => pg.execute(&self.statement).await,
            Target::Db(Database::Sqlite(sqlite)) => sqlite.execute(self.statement).await,
            Target::Tx(Tx::Pg(tx)) => tx.execute(&self.statement).await,
            Target::Tx(Tx::Sqlite(tx)) => tx.execute(self.statement).await,
        }
    }
}

impl Statement {
    pub(crate) fn new(text: Cow<'static, str>) -> Self {
        Self {
            text,
            values: Vec::new(),
            columns: Vec::new(),
            durability: Durability::Strict,
            by_index: false,
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        let mut lengths = self.columns.iter().map(Column::len);
        let Some(first) = lengths.next() else { return Ok(()) };
        if lengths.all(|length| length == first) {
            return Ok(());
        }
        Err(StoreError::Rejected("the columns of a batch must all have the same number of rows".into()))
    }
}
