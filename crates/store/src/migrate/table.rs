//! Which tables and columns a step's text makes, read from the text itself.
//!
//! It reads the form in which our migrations are written, and no SQL beyond that: one column a line, the closing bracket of a
//! table at the beginning of its line.

/// A table of a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// What it is made with.
    pub(super) columns: Vec<Column>,
    /// What it gains, where it is there already.
    pub(super) gains: Vec<Column>,
}

/// A column and how it is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) definition: &'static str,
}

const GAINS: &str = "ADD COLUMN IF NOT EXISTS ";

/// In the order of the text.
pub(super) fn tables(text: &'static str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    // What the lines that follow belong to: the columns of a table that is made, or what one gains.
    let (mut is_open, mut altered) = (false, None);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
            let name = first_word(rest.strip_prefix("IF NOT EXISTS ").unwrap_or(rest));
            tables.push(Table { name, columns: Vec::new(), gains: Vec::new() });
            is_open = true;
        } else if let Some(rest) = line.strip_prefix("ALTER TABLE ") {
            altered = tables.iter().position(|table| table.name == first_word(rest));
        } else if line.starts_with(')') {
            is_open = false;
        } else if is_open {
            if let (Some(table), Some(column)) = (tables.last_mut(), column(line)) {
                table.columns.push(column);
            }
        } else if let Some(rest) = line.trim_start().strip_prefix(GAINS)
            && let (Some(at), Some(column)) = (altered, column(rest))
        {
            tables[at].gains.push(column);
        }
    }
    tables
}

fn first_word(text: &'static str) -> &'static str {
    text.split([' ', '(', ';']).next().unwrap_or_default()
}

/// A comment and a constraint are none.
fn column(line: &'static str) -> Option<Column> {
    let line = line.trim().trim_end_matches([',', ';']);
    let (name, definition) = line.split_once(' ')?;
    let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    is_name.then(|| Column { name, definition: definition.trim() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_what_a_table_gains_are_read() {
        let text = "-- CREATE TABLE no (\nCREATE TABLE IF NOT EXISTS a (\n    id  uuid PRIMARY KEY,\n    -- why\n    n   text NOT NULL,\n    \
             PRIMARY KEY (id, n)\n) WITH (fillfactor = 70);\nALTER TABLE a SET (fillfactor = 45);\nALTER TABLE a\n    \
             ADD COLUMN IF NOT EXISTS m  text DEFAULT 'x',\n    ADD COLUMN IF NOT EXISTS o  bytea;\nCREATE TABLE b (\n    \
             key text\n) STRICT;\n";
        let column = |name, definition| Column { name, definition };
        assert_eq!(
            tables(text),
            [
                Table {
                    name: "a",
                    columns: vec![column("id", "uuid PRIMARY KEY"), column("n", "text NOT NULL")],
                    gains: vec![column("m", "text DEFAULT 'x'"), column("o", "bytea")],
                },
                Table { name: "b", columns: vec![column("key", "text")], gains: Vec::new() },
            ]
        );
    }
}
