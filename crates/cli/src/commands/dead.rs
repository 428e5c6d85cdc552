//! `backshift dead group`: dead letters by cause, with the commands that run all of one again, and delete them.

use backshift_core::{
    JobFilter, State, Store, Timestamp,
    sweep::{CauseRecord, Causes},
};
use serde_json::{Value, json};

use super::jobs::{Filters, filter, words};
use crate::{exit::Failure, output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Group them by cause, the most frequent first.
    Group(Box<Args>),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    filters: Filters,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub(super) async fn run(command: &Command, store: &dyn Store) -> Result<(), Failure> {
    match command {
        Command::Group(args) => group(args, store).await,
    }
}

async fn group(args: &Args, store: &dyn Store) -> Result<(), Failure> {
    let filter = filter(&args.filters)?;
    if filter.state.is_some_and(|state| state != State::Dead) {
        return Err(Failure::usage("only dead letters have a cause to be grouped by: leave --state out"));
    }
    let Causes { causes, back_to } = store.causes(&JobFilter { state: Some(State::Dead), ..filter }).await?;
    if let Some(back_to) = back_to {
        // Beside the results, which a program may read.
        output::note(&format!(
            "there are more: the newest were looked at, back to {}; --until {0} groups those before",
            output::time(back_to)
        ));
    }
    if args.json {
        output::json(&Value::Array(causes.iter().map(json).collect()));
        return Ok(());
    }
    if causes.is_empty() {
        let narrowed = args.filters != Filters::default();
        output::nothing(if narrowed { "no dead letter is like this" } else { "no dead letters" });
        return Ok(());
    }
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = causes.iter().map(|cause| row(cause, now)).collect();
    output::table(&["JOBS", "FIRST", "LAST", "EXAMPLE", "CAUSE"], &rows);
    if let Some(fingerprint) = causes.first().and_then(|cause| cause.fingerprint.as_ref()) {
        // All that was asked for, so that no more is run again than this shows.
        let wish =
            Filters { state: Some("dead".into()), cause: Some(fingerprint.clone()), ..args.filters.clone() };
        let wish = words(&wish);
        output::line(format!("to run all of a cause again: backshift jobs retry {wish}"));
        output::line(format!("to delete all of a cause: backshift jobs delete {wish}"));
    }
    Ok(())
}

fn row(cause: &CauseRecord, now: Timestamp) -> Vec<String> {
    let what = cause.fingerprint.as_deref().or(cause.error.as_deref()).unwrap_or("(no error)");
    vec![
        cause.jobs.to_string(),
        output::relative(cause.first, now),
        output::relative(cause.last, now),
        cause.example.to_string(),
        what.to_owned(),
    ]
}

fn json(cause: &CauseRecord) -> Value {
    json!({
        "cause": cause.fingerprint, "jobs": cause.jobs, "first": output::time(cause.first),
        "last": output::time(cause.last), "example": cause.example.to_string(), "error": cause.error,
    })
}
