//! `backshift migrate`: the schema, explicitly.

use backshift_store::{Dialect, migrate};
use serde_json::{Value, json};

use crate::{
    args::{Migrate, Output},
    config::Config,
    exit::Failure,
    output,
    wiring::{Missing, Patience, extras, open_database, places, schema_failure},
};

/// Runs the subcommand.
pub(super) async fn run(command: &Migrate, config: &Config) -> Result<(), Failure> {
    match command {
        Migrate::Up(args) => up(args, config).await,
        Migrate::Status(args) => status(args, config).await,
        Migrate::Sql { dialect } => {
            let dialect = if dialect == "sqlite" { Dialect::Sqlite } else { Dialect::Postgres };
            output::lines(schema_sql(config, dialect));
            Ok(())
        }
    }
}

/// The script, in the schema that is configured.
fn schema_sql(config: &Config, dialect: Dialect) -> String {
    let script = migrate::sql(dialect, extras(config));
    match config.some("database.schema") {
        Some(schema) if dialect == Dialect::Postgres => {
            let name = schema.replace('"', "\"\"");
            format!("CREATE SCHEMA IF NOT EXISTS \"{name}\";\nSET search_path = \"{name}\";\n\n{script}")
        }
        _ => script,
    }
}

fn url(config: &Config) -> Result<String, Failure> {
    places(config, false)?.store.ok_or_else(|| Failure::usage("there is no store to migrate"))
}

async fn up(args: &Output, config: &Config) -> Result<(), Failure> {
    let database = open_database(config, &url(config)?, Missing::Make)?;
    let failed = |error| schema_failure(error).placed(config);
    let apply = || async { migrate::up(&database, extras(config)).await.map_err(failed) };
    let applied = Patience::Short.wait("the store", apply).await?;
    if args.json {
        output::json(
            &applied.iter().map(|step| json!({"version": step.version, "name": step.name})).collect(),
        );
    } else if applied.is_empty() {
        output::line("the schema is up to date");
    } else {
        applied.iter().for_each(|step| output::line(format!("applied {} {}", step.version, step.name)));
    }
    Ok(())
}

async fn status(args: &Output, config: &Config) -> Result<(), Failure> {
    let database = open_database(config, &url(config)?, Missing::Refuse)?;
    let failed = |error| schema_failure(error).placed(config);
    let ask = || async { migrate::status(&database, extras(config)).await.map_err(failed) };
    let steps = Patience::Short.wait("the store", ask).await?;
    if args.json {
        let one = |step: &migrate::Step| {
            json!({"version": step.version, "name": step.name, "wanted": step.wanted,
                "applied_at": step.applied_at.map(output::time)})
        };
        output::json(&Value::Array(steps.iter().map(one).collect()));
        return Ok(());
    }
    let when = |step: &migrate::Step| match (step.applied_at, step.wanted) {
        (Some(at), _) => output::time(at),
        (None, true) => "to do".to_owned(),
        // The only step that is not always wanted.
        (None, false) => "off (BACKSHIFT_PROBE)".to_owned(),
    };
    let rows: Vec<_> = steps.iter().map(|s| vec![s.version.to_string(), s.name.clone(), when(s)]).collect();
    output::table(&["VERSION", "NAME", "APPLIED"], &rows);
    Ok(())
}
