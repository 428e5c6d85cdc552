//! Tables that are there already and that we did not make: they are adopted only when somebody names them, else nothing is done.
//!
//! Only the schema in which our tables would be made is looked at. What an adopted table lacks is found before anything is
//! changed: a column that cannot be added, an id of another type.

use backshift_core::StoreError;

use super::{
    line::{Line, Migration},
    table::Table,
};
use crate::{Dialect, Sql};

/// Every table and view of the schema with its columns and their types, one row a column.
pub(super) const THERE: Sql = Sql {
    pg: "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL) FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid \
         WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
         AND a.attnum > 0 AND NOT a.attisdropped",
    sqlite: "SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c \
             WHERE m.type IN ('table', 'view')",
};

/// A row of [`THERE`].
pub(super) type There = (String, String, String);

/// What a step would do to one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The line.
    pub line: &'static str,
    /// The step's number in it.
    pub version: u32,
    /// The table.
    pub table: &'static str,
    /// What becomes of it.
    pub what: What,
}

/// What becomes of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It is made.
    Made,
    /// It is there, somebody named it, and it gains these columns.
    Adopted(Vec<String>),
    /// It is there and nobody named it: the step is refused. Adopted, it would gain these columns.
    Refused(Vec<String>),
    /// It is there and cannot be adopted, for this reason.
    Unfit(String),
}

/// What these steps would do to tables.
pub(super) fn changes(
    steps: &[(&'static Line, &'static Migration)],
    there: &[There],
    adopt: &[String],
    dialect: Dialect,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for (line, step) in steps {
        for table in step.tables(dialect) {
            let what = what(line, &table, there, adopt, dialect);
            changes.push(Change { line: line.name, version: step.version, table: table.name, what });
        }
    }
    changes
}

fn what(line: &Line, table: &Table, there: &[There], adopt: &[String], dialect: Dialect) -> What {
    let theirs: Vec<&There> = there.iter().filter(|(name, ..)| name == table.name).collect();
    if theirs.is_empty() {
        return What::Made;
    }
    if !line.adoptable.contains(&table.name) {
        return What::Unfit("a table of this name is there already, and Backshift did not make it".into());
    }
    if dialect == Dialect::Sqlite {
        return What::Unfit(
            "a table of this name is there already, and none of a SQLite file is adopted".into(),
        );
    }
    let has = |name: &str| theirs.iter().any(|(_, column, _)| column == name);
    let gains = table.gains.iter().filter(|column| !has(column.name));
    let gains: Vec<String> = gains.map(|column| format!("{} {}", column.name, column.definition)).collect();
    let is_gained = |name: &str| table.gains.iter().any(|column| column.name == name);
    if let Some(column) = table.columns.iter().find(|column| !has(column.name) && !is_gained(column.name)) {
        return What::Unfit(format!("it has no column {}", column.name));
    }
    // The other types are converted or close enough; an id is compared with ours everywhere.
    for column in table.columns.iter().chain(&table.gains) {
        let kind = theirs.iter().find(|(_, name, _)| name == column.name).map(|(.., kind)| kind.as_str());
        if let Some(kind) = kind.filter(|kind| column.definition.starts_with("uuid") && *kind != "uuid") {
            return What::Unfit(format!("its column {} is {kind}, and has to be uuid", column.name));
        }
    }
    match adopt.iter().any(|name| name == table.name) {
        true => What::Adopted(gains),
        false => What::Refused(gains),
    }
}

/// Refuses what nobody asked for.
pub(super) fn refuse_foreign(changes: &[Change]) -> Result<(), StoreError> {
    let (mut unfit, mut untold) = (Vec::new(), Vec::new());
    for change in changes {
        match &change.what {
            What::Unfit(why) => unfit.push(format!("{}: {why}", change.table)),
            What::Refused(_) => untold.push(change.table),
            What::Made | What::Adopted(_) => {}
        }
    }
    const APART: &str = "give Backshift a schema of its own (database.schema, `store::Options::schema`), or another database or \
         file";
    if !unfit.is_empty() {
        return Err(StoreError::Schema(format!(
            "nothing was changed, because of tables that are not Backshift's: {}; {APART}",
            unfit.join("; ")
        )));
    }
    if !untold.is_empty() {
        return Err(StoreError::Schema(format!(
            "nothing was changed: these tables are there already, and Backshift did not make them: {tables}. If Backshift is to \
             take them over, name them: database.adopt = \"{tables}\" (`backshift migrate up --dry-run` lists every column that \
             would be added), in a Rust program `migrate::up_adopting`. Else {APART}",
            tables = untold.join(",")
        )));
    }
    Ok(())
}
