//! `backshift migrate`: the schema, explicitly.

use backshift_store::{
    Database, Dialect,
    migrate::{self, Change, What},
};
use serde_json::{Value, json};

use crate::{
    config::{Config, keys},
    domains::Role,
    exit::Failure,
    output,
    wiring::{
        Missing, Patience, adopted, all_lines, and_what_is_there, bring_up, lines, lines_with, named_lines,
        open_database, places, schema_failure,
    },
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Bring the tables up to this version: the engine's, those of domains that are switched on, and what is there already.
    Up(Up),
    /// Say which migrations are in place.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the SQL of every migration.
    Sql {
        /// postgres or sqlite.
        #[arg(long, default_value = "postgres", value_parser = ["postgres", "sqlite"])]
        dialect: String,
        /// Also the tables of this domain; repeat for more.
        #[arg(long = "line", value_name = "LINE", value_parser = crate::wiring::names())]
        lines: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// Also the tables of this domain, whether it is switched on here or not; repeat for more.
    #[arg(long = "line", value_name = "LINE", value_parser = crate::wiring::names())]
    lines: Vec<String>,
    /// Change nothing: list the tables that would be made, and every column that a table of another program would gain.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub(super) async fn run(command: &Command, config: &Config) -> Result<(), Failure> {
    match command {
        Command::Up(args) if args.dry_run => dry_run(args, config).await,
        Command::Up(args) => up(args, config).await,
        Command::Status { json } => status(*json, config).await,
        Command::Sql { dialect, lines } => {
            let dialect = if dialect == "sqlite" { Dialect::Sqlite } else { Dialect::Postgres };
            output::lines(schema_sql(config, dialect, lines));
            Ok(())
        }
    }
}

/// The script, in the schema that is configured.
fn schema_sql(config: &Config, dialect: Dialect, more: &[String]) -> String {
    let script = migrate::sql(dialect, &lines_with(config, &named_lines(more)));
    match config.some(&keys::DATABASE_SCHEMA) {
        Some(schema) if dialect == Dialect::Postgres => {
            let name = schema.replace('"', "\"\"");
            format!("CREATE SCHEMA IF NOT EXISTS \"{name}\";\nSET search_path = \"{name}\";\n\n{script}")
        }
        _ => script,
    }
}

fn open(config: &Config, missing: Missing) -> Result<Database, Failure> {
    let store = places(config, false)?.store;
    open_database(config, &store.ok_or_else(|| Failure::usage("there is no store to migrate"))?, missing)
}

async fn up(args: &Up, config: &Config) -> Result<(), Failure> {
    let database = open(config, Missing::Make)?;
    let failed = |error| schema_failure(error).placed(config);
    let wanted = lines_with(config, &named_lines(&args.lines));
    let apply = || async { bring_up(config, &database, wanted.clone()).await.map_err(failed) };
    let applied = Patience::Short.wait("the store", apply).await?;
    if args.json {
        let one =
            |step: &migrate::Step| json!({"line": step.line, "version": step.version, "name": step.name});
        output::json(&applied.iter().map(one).collect());
    } else if applied.is_empty() {
        output::line("the schema is up to date");
    } else {
        let told = |step: &migrate::Step| format!("applied {} {} {}", step.line, step.version, step.name);
        applied.iter().for_each(|step| output::line(told(step)));
    }
    Ok(())
}

/// What `up` would do to tables; ends as it would end.
async fn dry_run(args: &Up, config: &Config) -> Result<(), Failure> {
    let database = open(config, Missing::Refuse)?;
    let failed = |error| schema_failure(error).placed(config);
    let wanted = lines_with(config, &named_lines(&args.lines));
    let look = || async {
        let lines = and_what_is_there(&database, wanted.clone()).await.map_err(failed)?;
        migrate::preview(&database, &lines, &adopted(config)).await.map_err(failed)
    };
    let changes = Patience::Short.wait("the store", look).await?;
    if args.json {
        output::json(&changes.iter().map(in_json).collect());
    } else if changes.is_empty() {
        output::line("no table would be made or changed");
    } else {
        changes.iter().flat_map(in_words).for_each(output::line);
    }
    migrate::refusal(&changes).map_or(Ok(()), |refused| Err(failed(refused)))
}

fn in_json(change: &Change) -> Value {
    let (what, columns, why) = match &change.what {
        What::Made => ("made", None, None),
        What::Adopted(columns) => ("adopted", Some(columns), None),
        What::Refused(columns) => ("refused", Some(columns), None),
        What::Unfit(why) => ("unfit", None, Some(why)),
    };
    json!({"line": change.line, "version": change.version, "table": change.table, "what": what, "columns": columns,
        "why": why})
}

fn in_words(change: &Change) -> Vec<String> {
    let table = change.table;
    let (first, columns) = match &change.what {
        What::Made => (format!("{table}: would be made"), &[][..]),
        What::Adopted(columns) if columns.is_empty() => {
            (format!("{table}: would be taken over, with no new column"), &[][..])
        }
        What::Adopted(columns) => (format!("{table}: would be taken over, and gain"), &columns[..]),
        What::Refused(columns) => {
            (format!("{table}: is there already; named in database.adopt it would gain"), &columns[..])
        }
        What::Unfit(why) => (format!("{table}: cannot be taken over: {why}"), &[][..]),
    };
    let columns = columns.iter().map(|column| format!("    {column}"));
    std::iter::once(first).chain(columns).collect()
}

async fn status(as_json: bool, config: &Config) -> Result<(), Failure> {
    let database = open(config, Missing::Refuse)?;
    let failed = |error| schema_failure(error).placed(config);
    let wanted = lines(config, Role::Site);
    let ask = || async { migrate::status(&database, &wanted, &all_lines()).await.map_err(failed) };
    let steps = Patience::Short.wait("the store", ask).await?;
    if as_json {
        let one = |step: &migrate::Step| {
            json!({"line": step.line, "version": step.version, "name": step.name, "wanted": step.wanted,
                "applied_at": step.applied_at.map(output::time)})
        };
        output::json(&Value::Array(steps.iter().map(one).collect()));
        return Ok(());
    }
    let when = |step: &migrate::Step| match (step.applied_at, step.wanted) {
        (Some(at), _) => output::time(at),
        (None, true) => "to do".to_owned(),
        (None, false) => "off (migrate up --line)".to_owned(),
    };
    let row = |s: &migrate::Step| vec![s.line.clone(), s.version.to_string(), s.name.clone(), when(s)];
    output::table(&["LINE", "VERSION", "NAME", "APPLIED"], &steps.iter().map(row).collect::<Vec<_>>());
    Ok(())
}
