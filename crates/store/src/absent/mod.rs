//! What stands in the place of a database whose feature is off. A test build has it beside the real ones, so that a method which
//! is missing here is found by every build of the workspace.

mod postgres;
mod sqlite;

use std::path::Path;

use backshift_core::StoreError;

use crate::Options;

#[test]
fn a_database_that_was_not_compiled_in_names_its_feature() {
    let text = |error: StoreError| {
        assert!(matches!(error, StoreError::Rejected(_)), "{error:?}");
        error.to_string()
    };
    let told = text(postgres::Pg::open("postgres://u:secret@host/db", &Options::default()).unwrap_err());
    assert!(told.contains("without PostgreSQL: add the feature `postgres` of backshift"), "{told}");
    assert!(!told.contains("secret"), "{told}");
    let told = text(sqlite::path_of("sqlite:jobs.db").unwrap_err());
    assert!(told.contains("without SQLite: add the feature `embedded` of backshift"), "{told}");
    let file = sqlite::Sqlite::open(Path::new("jobs.db"), &Options::default());
    assert_eq!(text(file.unwrap_err()), told);
}
