//! Which tables a site has: the engine's, and those of each domain that is switched on.
//!
//! What a process needs follows from its own settings; what `migrate up` brings up is that, what is named with `--line`, and
//! whatever the database has already, so that the deployment's own role needs no domain's secrets.

use backshift_core::StoreError;
use backshift_store::{
    Database,
    migrate::{self, ENGINE, Line},
};

use crate::{
    config::{Config, keys},
    domains::{self, Role},
};

/// The lines that a process of this role needs, the engine's first.
pub(crate) fn lines(config: &Config, role: Role) -> Vec<&'static Line> {
    std::iter::once(&ENGINE).chain(domains::tables(config, role)).collect()
}

/// Every line there is.
pub(crate) fn all_lines() -> Vec<&'static Line> {
    std::iter::once(&ENGINE).chain(domains::all_tables()).collect()
}

/// The same with these.
pub(crate) fn lines_with(config: &Config, more: &[&'static Line]) -> Vec<&'static Line> {
    joined(lines(config, Role::Site), more.iter().copied())
}

/// Those and these, each once.
fn joined(mut all: Vec<&'static Line>, more: impl Iterator<Item = &'static Line>) -> Vec<&'static Line> {
    for line in more {
        if !all.iter().any(|one| one.name == line.name) {
            all.push(line);
        }
    }
    all
}

/// The lines of these names; every name is one of [`names`].
pub(crate) fn named(names: &[String]) -> Vec<&'static Line> {
    all_lines().into_iter().filter(|line| names.iter().any(|name| name == line.name)).collect()
}

/// What can be named.
pub(crate) fn names() -> Vec<&'static str> {
    all_lines().iter().map(|line| line.name).collect()
}

/// Those lines and the ones that the database has.
///
/// # Errors
/// As [`migrate::lines_in`].
pub(crate) async fn and_what_is_there(
    database: &Database,
    wanted: Vec<&'static Line>,
) -> Result<Vec<&'static Line>, StoreError> {
    let there = migrate::lines_in(database).await?;
    let more = all_lines().into_iter().filter(|line| there.iter().any(|name| name == line.name));
    Ok(joined(wanted, more))
}

/// The tables of others that are taken over (`database.adopt`).
pub(crate) fn adopted(config: &Config) -> Vec<String> {
    let names = config.get(&keys::DATABASE_ADOPT).split(',').map(str::trim);
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use backshift_store::Dialect;

    use super::*;

    #[test]
    fn the_steps_of_a_line_are_numbered_and_their_promises_grow() {
        for line in all_lines() {
            let mut oldest = 1;
            for (step, number) in line.steps.iter().zip(1..) {
                assert_eq!(step.version, number, "{}", line.name);
                assert!((oldest..=number).contains(&step.compatible_from), "{} {number}", line.name);
                oldest = step.compatible_from;
            }
            for dialect in [Dialect::Postgres, Dialect::Sqlite] {
                let made = line.tables(dialect);
                assert!(line.adoptable.iter().all(|table| made.contains(table)), "{made:?}");
            }
        }
    }

    #[test]
    fn no_table_is_made_by_two_lines() {
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            let mut made: Vec<_> = all_lines().iter().flat_map(|line| line.tables(dialect)).collect();
            let all = made.len();
            made.sort_unstable();
            made.dedup();
            assert_eq!(made.len(), all, "{made:?}");
        }
    }
}
