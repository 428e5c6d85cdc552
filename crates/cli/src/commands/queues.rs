//! `backshift queues`: counts, pause and resume. A pause holds in every worker until somebody resumes.

use backshift_core::{QueueName, State, Store};
use serde_json::{Value, json};

use super::explain;
use crate::{
    args::{Queues, SteeredQueue},
    config::nearest,
    exit::Failure,
    output,
    wiring::own_queues,
};

/// Runs the subcommand.
pub(super) async fn run(command: &Queues, store: &dyn Store) -> Result<(), Failure> {
    match command {
        Queues::List(args) => list(args.json, store).await,
        Queues::Pause(args) => pause(args, store, true).await,
        Queues::Resume(args) => pause(args, store, false).await,
        Queues::Explain(args) => explain::queue(args, store).await,
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
            value
        };
        output::json(&Value::Array(queues.iter().map(one).collect()));
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
            [name].into_iter().chain(State::ALL.iter().map(|s| q.count(*s).to_string())).collect()
        })
        .collect();
    output::table(&heading.iter().map(String::as_str).collect::<Vec<_>>(), &rows);
    Ok(())
}

async fn pause(args: &SteeredQueue, store: &dyn Store, paused: bool) -> Result<(), Failure> {
    let queue = QueueName::new(&args.queue).map_err(Failure::usage)?;
    if !args.new {
        refuse_unknown(&queue, store).await?;
    }
    let changed = store.pause(&queue, paused).await?;
    if args.output.json {
        output::json(&json!({"queue": queue.as_str(), "paused": paused, "changed": changed}));
    } else {
        let word = if paused { "paused" } else { "resumed" };
        let already = if changed { "" } else { "already " };
        output::line(format!("{queue} {already}{word}"));
    }
    Ok(())
}

/// A pause of a mistyped queue would hold nothing, and nobody would see it.
async fn refuse_unknown(queue: &QueueName, store: &dyn Store) -> Result<(), Failure> {
    let mut known: Vec<String> = own_queues().map(str::to_owned).collect();
    let is_known = |known: &[String]| known.iter().any(|name| name == queue.as_str());
    if is_known(&known) {
        return Ok(());
    }
    known.extend(
        store
            .workers()
            .await?
            .iter()
            .flat_map(|worker| worker.queue_names().map(str::to_owned).collect::<Vec<_>>()),
    );
    if is_known(&known) {
        return Ok(());
    }
    known.extend(store.counts().await?.iter().map(|counted| counted.queue.to_string()));
    if is_known(&known) {
        return Ok(());
    }
    let meant = nearest(queue.as_str(), known.into_iter());
    let meant = meant.map(|name| format!("did you mean {name}? ")).unwrap_or_default();
    Err(Failure::usage(format!(
        "queue {queue} is unknown, no job is in it and no worker takes jobs from it: {meant}`backshift queues list` shows all; \
         --new does it all the same"
    )))
}
