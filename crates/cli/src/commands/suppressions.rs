//! `backshift suppressions`: addresses that get no mail (all kinds but transactional-critical), for 90 days.

use backshift_core::Timestamp;
use backshift_mail::{EmailAddress, Suppression, SuppressionReason};
use backshift_store::{Database, migrate::Line};
use serde_json::{Value, json};

use crate::{
    domains::mail::{self, suppressions},
    exit::Failure,
    output,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List suppressed addresses.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Suppress an address.
    Add(Args),
    /// Let an address receive mail again.
    Remove(Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The address.
    address: String,
    /// Why (for `add`).
    #[arg(long, default_value = "manual")]
    reason: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const ROWS: usize = 500;

/// What it works on.
pub(super) const TABLES: &Line = mail::TABLES;

/// Runs the subcommand.
pub(super) async fn run(command: &Command, database: &Database) -> Result<(), Failure> {
    match command {
        Command::List { json } => list(*json, database).await,
        Command::Add(args) => add(args, database).await,
        Command::Remove(args) => remove(args, database).await,
    }
}

async fn list(as_json: bool, database: &Database) -> Result<(), Failure> {
    let list = suppressions(database);
    let mut all: Vec<Suppression> = Vec::new();
    loop {
        let page = list.list(all.last().map(|s| &s.address), ROWS, Timestamp::now()).await?;
        let last = page.len() < ROWS;
        all.extend(page);
        if last {
            break;
        }
    }
    if as_json {
        let one = |s: &Suppression| {
            json!({
                "address": s.address.to_string(), "reason": s.reason.as_str(), "detail": s.detail,
                "since": output::time(s.since), "until": output::time(s.until),
            })
        };
        output::json(&Value::Array(all.iter().map(one).collect()));
        return Ok(());
    }
    if all.is_empty() {
        output::nothing("no address is suppressed");
        return Ok(());
    }
    let row = |s: &Suppression| {
        vec![s.address.to_string(), s.reason.as_str().to_owned(), output::time(s.until), s.detail.clone()]
    };
    output::table(&["ADDRESS", "REASON", "UNTIL", "SAID"], &all.iter().map(row).collect::<Vec<_>>());
    Ok(())
}

async fn add(args: &Args, database: &Database) -> Result<(), Failure> {
    let address = EmailAddress::parse(&args.address).map_err(Failure::usage)?;
    let reason = SuppressionReason::parse(&args.reason).unwrap_or(SuppressionReason::Manual);
    let detail = if reason == SuppressionReason::Manual { args.reason.as_str() } else { "" };
    suppressions(database).add(Suppression::new(address, reason, detail, Timestamp::now())).await?;
    said(args, "suppressed", true);
    Ok(())
}

async fn remove(args: &Args, database: &Database) -> Result<(), Failure> {
    let address = EmailAddress::parse(&args.address).map_err(Failure::usage)?;
    match suppressions(database).remove(&address).await? {
        true => {
            said(args, "removed", true);
            Ok(())
        }
        // A name that nobody knows, as everywhere.
        false => Err(Failure::usage(format!("{} is not suppressed", args.address))),
    }
}

fn said(args: &Args, what: &str, changed: bool) {
    if args.json {
        output::json(&json!({"address": args.address, "changed": changed}));
    } else {
        output::line(format!("{} {what}", args.address));
    }
}
