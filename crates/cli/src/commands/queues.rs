//! `backshift queues`: counts, pause and resume. A pause holds in every worker until somebody resumes.

use backshift_core::{QueueName, State, Store, Sweeps as _};
use backshift_http::pages::told;
use serde_json::{Value, json};

use super::{causes, hand::hand, known_queues::KnownQueues};
use crate::{config::Config, domains, exit::Failure, output, wiring::Backend};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List queues with their counts.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Stop taking jobs from a queue, in every worker.
    Pause(Steered),
    /// Take jobs from it again.
    Resume(Steered),
    /// Say what stands in a queue's way and what changes that. Exit 0 = nobody needs to act, 1 = somebody must.
    Explain(Explained),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Explained {
    /// The queue.
    queue: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Steered {
    /// The queue.
    queue: String,
    /// Also a queue that no job and no worker knows yet.
    #[arg(long)]
    new: bool,
    /// Why, for those who look at it later.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub(super) async fn run(command: &Command, config: &Config, backend: &Backend) -> Result<(), Failure> {
    match command {
        Command::List { json } => list(*json, &**backend.store()?).await,
        Command::Pause(args) => pause(args, backend, true).await,
        Command::Resume(args) => pause(args, backend, false).await,
        Command::Explain(args) => explain(args, config, backend).await,
    }
}

async fn list(as_json: bool, store: &dyn Store) -> Result<(), Failure> {
    let queues = store.counts().await?;
    if as_json {
        let one = |q: &backshift_core::QueueCounts| {
            let mut value = json!({"queue": q.queue.as_str(), "paused": q.paused, "oldest_due": q.oldest_due.map(output::time)});
            for state in State::ALL {
                value[state.as_str()] = json!(q.count(state));
            }
            // States of which there may be more than was counted.
            value["more"] = q.more.iter().map(|state| state.as_str()).collect();
            value
        };
        output::json(&Value::Array(queues.iter().map(one).collect()));
        return Ok(());
    }
    if queues.is_empty() {
        output::nothing("no queue holds a job yet; the first job of a queue makes it appear");
        return Ok(());
    }
    let heading: Vec<String> = ["QUEUE".to_owned()]
        .into_iter()
        .chain(State::ALL.iter().map(|s| s.as_str().to_ascii_uppercase()))
        .collect();
    let rows: Vec<Vec<String>> = queues
        .iter()
        .map(|q| {
            let name = if q.paused { format!("{} (paused)", q.queue) } else { q.queue.to_string() };
            let counted = |state: &State| {
                let more = if q.more.contains(state) { "+" } else { "" };
                format!("{}{more}", q.count(*state))
            };
            [name].into_iter().chain(State::ALL.iter().map(counted)).collect()
        })
        .collect();
    output::table(&heading.iter().map(String::as_str).collect::<Vec<_>>(), &rows);
    Ok(())
}

async fn pause(args: &Steered, backend: &Backend, paused: bool) -> Result<(), Failure> {
    let queue = QueueName::new(&args.queue).map_err(Failure::usage)?;
    if !args.new {
        refuse_unknown(&queue, backend).await?;
    }
    let changed = backend.store()?.turn(&queue, paused, &hand(args.why.as_deref())?).await?;
    if args.json {
        output::json(&json!({"queue": queue.as_str(), "paused": paused, "changed": changed}));
    } else {
        let word = if paused { "paused" } else { "resumed" };
        let already = if changed { "" } else { "already " };
        output::line(format!("{queue} {already}{word}"));
    }
    Ok(())
}

/// A pause of a mistyped queue would hold nothing, and nobody would see it.
async fn refuse_unknown(queue: &QueueName, backend: &Backend) -> Result<(), Failure> {
    let mut known = KnownQueues::of(backend);
    if known.has(queue).await? {
        return Ok(());
    }
    let meant = known.nearest(queue).map(|name| format!("did you mean {name}? ")).unwrap_or_default();
    Err(Failure::usage(format!(
        "queue {queue} is unknown, no job is in it and no worker takes jobs from it: {meant}`backshift queues list` shows all; \
         --new does it all the same"
    )))
}

/// Says what stands in its way.
async fn explain(args: &Explained, config: &Config, backend: &Backend) -> Result<(), Failure> {
    let name = QueueName::new(&args.queue).map_err(Failure::usage)?;
    let Some((counts, told)) = told::queue(&**backend.store()?, &name, &domains::own_kinds(config)).await?
    else {
        let meant = KnownQueues::of(backend).nearest_to(&name).await;
        let meant = meant.map(|near| format!("did you mean {near}? ")).unwrap_or_default();
        return Err(Failure::usage(format!(
            "nothing is known of a queue {name}: no job is in it and no worker works it: {meant}`backshift queues list` shows all"
        )));
    };
    if args.json {
        let mut value = causes::json(&told);
        value["queue"] = json!(counts.queue.as_str());
        value["paused"] = json!(counts.paused);
        for state in State::ALL {
            value[state.as_str()] = json!(counts.count(state));
        }
        value["more"] = counts.more.iter().map(|state| state.as_str()).collect();
        output::json(&value);
    } else {
        output::line(&told.headline);
        causes::because(&told);
    }
    causes::verdict(&told)
}
