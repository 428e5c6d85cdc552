//! What a person does from the command line to single jobs, under their name; and what everybody did.
//!
//! The name is that of the machine's user. It is no proof: whoever can run this command can write into the database, too.

use std::collections::BTreeSet;

use backshift_core::{
    Deed, Hand, JobId, State, Store, Timestamp,
    sweep::{HandRecord, LONGEST, Upon},
};
use serde_json::{Value, json};

use crate::{
    args::{Hands, SomeJobs},
    exit::Failure,
    output,
    wiring::Backend,
};

/// Whoever runs this: `user@host`.
pub(super) fn hand(why: Option<&str>) -> Result<Hand, Failure> {
    let hand = Hand { who: who(), why: why.map(str::to_owned) };
    match hand.is_signed() {
        true => Ok(hand),
        false => Err(Failure::usage(format!("--why: more than {LONGEST} bytes are not kept"))),
    }
}

fn who() -> String {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let user = named.filter(|user| !user.trim().is_empty());
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{user}@{host}").chars().take(200).collect()
}

/// Does it to each of these jobs, and tells the workers that wait for their queues.
pub(super) async fn each(deed: Deed, args: &SomeJobs, backend: &Backend) -> Result<(), Failure> {
    let store: &dyn Store = &**backend.store()?;
    let ended = steer(deed, args, store).await;
    if deed != Deed::Retry {
        return ended;
    }
    let mut queues = BTreeSet::new();
    for id in args.ids.iter().filter_map(|text| text.parse().ok()) {
        // Only a hint: whoever is not told looks by himself.
        queues.extend(store.find(id).await.ok().flatten().map(|job| job.queue));
    }
    backend.ring(queues).await;
    ended
}

/// One after the other; a job that cannot be steered does not stop the others.
async fn steer(deed: Deed, args: &SomeJobs, store: &dyn Store) -> Result<(), Failure> {
    let hand = hand(args.many.why.as_deref())?;
    let mut done = Vec::new();
    let mut problems = Vec::new();
    for text in &args.ids {
        let id = text.parse().map_err(Failure::usage)?;
        match store.act(deed, id, &hand).await {
            Ok(State::Completed) if deed != Deed::Delete => problems.push(already_completed(id, deed)),
            Ok(state) => done.push((id, if deed == Deed::Delete { "deleted" } else { state.as_str() })),
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => problems.push(format!("{id}: {error}")),
        }
    }
    if args.output.json {
        output::json(&done.iter().map(|(id, state)| json!({"id": id.to_string(), "state": state})).collect());
    } else {
        done.iter().for_each(|(id, state)| output::line(format!("{id} {state}")));
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::failed(problems.join("\n"))) }
}

/// What a wish for a job that has done its work comes to: nothing, and that is said.
fn already_completed(id: JobId, deed: Deed) -> String {
    match deed {
        Deed::Retry => {
            format!("job {id} is completed and runs no second time: enqueue a new one with its payload")
        }
        _ => format!("job {id} is completed already: there is nothing to cancel"),
    }
}

/// `jobs hands`.
pub(super) async fn list(args: &Hands, before: Option<Timestamp>, store: &dyn Store) -> Result<(), Failure> {
    let hands = store.all_hands(before, args.limit).await?;
    if args.output.json {
        output::json(&Value::Array(hands.iter().map(json).collect()));
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
            format!("{changed} jobs{}: {words}", if *done { "" } else { " so far" })
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
