//! Runs a statement on a connection; parameters `$n` are found by name, because SQLite numbers them by appearance.
//!
//! A batch runs once a row; without rows nothing runs.

use std::sync::Arc;

use backshift_core::StoreError;
use rusqlite::{CachedStatement, Connection};

use super::{LiteRow, fault::fault};
use crate::{FromRow, Row, Value, query::Statement, row::Answer};

/// Rows of a statement, for closures on the writer thread or a reader.
pub fn query<T: FromRow>(
    connection: &Connection,
    text: &str,
    values: &[Value],
) -> Result<Vec<T>, StoreError> {
    let mut prepared = connection.prepare_cached(text).map_err(fault)?;
    let places = places(&prepared, values.len())?;
    bind(&mut prepared, &places, 0, values.iter())?;
    let mut rows = Vec::new();
    let names = names(&prepared);
    collect(&mut prepared, &names, &mut rows)?;
    rows.iter().map(T::from_row).collect()
}

/// How many rows a statement changed, for closures on the writer thread.
pub fn run(connection: &Connection, text: &str, values: &[Value]) -> Result<u64, StoreError> {
    let mut prepared = connection.prepare_cached(text).map_err(fault)?;
    let places = places(&prepared, values.len())?;
    bind(&mut prepared, &places, 0, values.iter())?;
    let mut answered = 0;
    let mut rows = prepared.raw_query();
    while rows.next().map_err(fault)?.is_some() {
        answered += 1;
    }
    drop(rows);
    Ok(changed(connection, &prepared, answered))
}

/// Runs a script of many statements.
pub(crate) fn script(connection: &Connection, text: &str) -> Result<(), StoreError> {
    connection.execute_batch(text).map_err(fault)
}

pub(super) fn execute(connection: &Connection, statement: &Statement) -> Result<(Vec<Row>, u64), StoreError> {
    let mut prepared = connection.prepare_cached(&statement.text).map_err(fault)?;
    let (values, columns) = (&statement.values, &statement.columns);
    let places = places(&prepared, values.len() + columns.len())?;
    bind(&mut prepared, &places, 0, values.iter())?;
    let runs = columns.first().map_or(1, crate::Column::len);
    let (mut rows, mut total) = (Vec::new(), 0);
    let names = names(&prepared);
    for run in 0..runs {
        let row: Vec<Value> = columns.iter().map(|c| c.row(run)).collect();
        bind(&mut prepared, &places, values.len(), row.iter())?;
        let before = rows.len();
        collect(&mut prepared, &names, &mut rows)?;
        total += changed(connection, &prepared, rows.len() - before);
    }
    Ok((rows, total))
}

/// Where each parameter stands; a parameter that the text does not use stands nowhere.
fn places(prepared: &CachedStatement<'_>, given: usize) -> Result<Vec<Option<usize>>, StoreError> {
    let mut places = vec![None; given];
    for index in 1..=prepared.parameter_count() {
        // A gap in the numbers of a statement that writes `?n` has no name.
        let Some(name) = prepared.parameter_name(index) else { continue };
        let number = name.get(1..).and_then(|digits| digits.parse::<usize>().ok());
        let place = number.and_then(|number| places.get_mut(number.checked_sub(1)?));
        *place.ok_or_else(|| {
            let needed = prepared.parameter_count();
            StoreError::Rejected(format!("the statement needs {needed} parameters and {given} were given"))
        })? = Some(index);
    }
    Ok(places)
}

fn bind<'v>(
    prepared: &mut CachedStatement<'_>,
    places: &[Option<usize>],
    from: usize,
    values: impl Iterator<Item = &'v Value>,
) -> Result<(), StoreError> {
    for (place, value) in places.iter().skip(from).zip(values) {
        if let Some(place) = place {
            prepared.raw_bind_parameter(*place, value.to_sqlite()).map_err(fault)?;
        }
    }
    Ok(())
}

fn names(prepared: &CachedStatement<'_>) -> Arc<[String]> {
    prepared.column_names().into_iter().map(str::to_owned).collect()
}

fn collect(
    prepared: &mut CachedStatement<'_>,
    names: &Arc<[String]>,
    into: &mut Vec<Row>,
) -> Result<(), StoreError> {
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next().map_err(fault)? {
        let mut values = Vec::with_capacity(names.len());
        for index in 0..names.len() {
            values.push(row.get(index).map_err(fault)?);
        }
        into.push(Row::of(Answer::Sqlite(LiteRow { names: Arc::clone(names), values })));
    }
    Ok(())
}

/// Like PostgreSQL's count: rows that were changed, or rows that were answered.
fn changed(connection: &Connection, prepared: &CachedStatement<'_>, answered: usize) -> u64 {
    if prepared.readonly() || prepared.column_count() > 0 { answered as u64 } else { connection.changes() }
}

/// Whether a reader may run it. When in doubt it is a write: that is only slower.
pub(super) fn is_read(text: &str) -> bool {
    let upper = text.trim_start().to_ascii_uppercase();
    let writes = || {
        let mut words = upper.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.any(|word| matches!(word, "INSERT" | "UPDATE" | "DELETE" | "REPLACE"))
    };
    upper.starts_with("SELECT") || upper.starts_with("VALUES") || (upper.starts_with("WITH") && !writes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_bound_by_their_number_and_may_repeat() {
        let connection = Connection::open_in_memory().unwrap();
        let answer: Vec<(String, String, String)> =
            query(&connection, "SELECT $2, $1, $2", &["one".into(), "two".into()]).unwrap();
        assert_eq!(answer, [("two".into(), "one".into(), "two".into())]);
    }

    #[test]
    fn a_parameter_that_was_not_given_is_an_error_and_an_unused_one_is_not() {
        let connection = Connection::open_in_memory().unwrap();
        assert!(query::<()>(&connection, "SELECT $1, $2", &[1_i64.into()]).is_err());
        assert!(query::<()>(&connection, "SELECT $2", &[1_i64.into(), 2_i64.into()]).is_ok());
    }

    #[test]
    fn statements_that_write_go_to_the_writer() {
        assert!(is_read(" select 1"));
        assert!(is_read("WITH a AS (SELECT deleted_at FROM t) SELECT * FROM a"));
        assert!(!is_read("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a"));
        assert!(!is_read("UPDATE t SET a = 1 RETURNING id"));
        assert!(!is_read("PRAGMA user_version = 3"));
    }
}
