//! `jobs hands`: what people did to jobs and queues.

use backshift_core::{
    Store, Timestamp,
    sweep::{HandRecord, Upon},
};
use serde_json::{Value, json};

use super::filters::moment;
use crate::{exit::Failure, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rows, up to 500.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Only what was done before this time (RFC 3339), or longer ago than, such as 2h.
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists it.
pub(super) async fn run(args: &Args, store: &dyn Store) -> Result<(), Failure> {
    let before = args.before.as_deref().map(|text| moment("before", text)).transpose()?;
    let hands = store.all_hands(before, args.limit).await?;
    if args.json {
        output::json(&Value::Array(hands.iter().map(json).collect()));
        return Ok(());
    }
    if hands.is_empty() {
        output::nothing(if before.is_some() {
            "nobody did anything by hand before then"
        } else {
            "nobody did anything by hand"
        });
        return Ok(());
    }
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = hands
        .iter()
        .map(|one| {
            let why = one.hand.why.clone().unwrap_or_default();
            vec![output::relative(one.at, now), one.hand.who.clone(), one.deed.clone(), upon(&one.upon), why]
        })
        .collect();
    output::table(&["WHEN", "WHO", "WHAT", "TO", "WHY"], &rows);
    Ok(())
}

fn upon(upon: &Upon) -> String {
    match upon {
        Upon::Job(id) => id.to_string(),
        Upon::Queue(queue) => format!("queue {queue}"),
        Upon::Many { words, changed, done } => {
            let many = output::count(*changed, "job", "jobs");
            format!("{many}{}: {words}", if *done { "" } else { " so far" })
        }
    }
}

/// One hand, for programs.
pub(super) fn json(one: &HandRecord) -> Value {
    let mut value = json!({
        "at": output::time(one.at), "deed": one.deed, "who": one.hand.who, "why": one.hand.why,
        "sweep": one.sweep.map(|id| id.to_string()),
    });
    match &one.upon {
        Upon::Job(id) => value["job"] = json!(id.to_string()),
        Upon::Queue(queue) => value["queue"] = json!(queue.as_str()),
        Upon::Many { words, changed, done } => {
            value["words"] = json!(words);
            value["changed"] = json!(changed);
            value["done"] = json!(done);
        }
    }
    value
}
