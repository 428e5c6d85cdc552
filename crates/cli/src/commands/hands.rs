//! What a person does from the command line to single jobs, under their name; and what everybody did.
//!
//! The name is that of the machine's user. It is no proof: whoever can run this command can write into the database, too.

use std::collections::BTreeSet;

use backshift_core::{
    Deed, Hand, JobId, State, Store, StoreError, Timestamp,
    sweep::{HandRecord, LONGEST, Upon},
};
use serde_json::{Value, json};

use super::explain;
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
    let (mut problems, mut unknown) = (Vec::new(), 0);
    for text in &args.ids {
        let id: JobId = text.parse().map_err(Failure::usage)?;
        match store.act(deed, id, &hand).await {
            Ok(state @ (State::Completed | State::Dead)) if deed != Deed::Delete => {
                problems.push(already_over(id, deed, state));
            }
            Ok(state) => done.push((id, if deed == Deed::Delete { "deleted" } else { state.as_str() })),
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(StoreError::NotFound(_)) => {
                unknown += 1;
                problems.push(explain::gone(id, store).await.to_string());
            }
            Err(error) => problems.push(format!("{id}: {error}")),
        }
    }
    if args.output.json {
        let one = |(id, state): &(JobId, &str)| json!({"id": id.to_string(), "state": state, "follows": follows(*id, deed, state)});
        output::json(&done.iter().map(one).collect());
    } else {
        done.iter().for_each(|(id, state)| {
            let follows = follows(*id, deed, state).map(|text| format!(": {text}")).unwrap_or_default();
            output::line(format!("{id} {state}{follows}"));
        });
    }
    match problems.len() {
        0 => Ok(()),
        // Nothing was done because nobody knows any of them: a name that nobody knows is wrong use in every command.
        all if all == unknown && done.is_empty() => Err(Failure::usage(problems.join("\n"))),
        _ => Err(Failure::failed(problems.join("\n"))),
    }
}

/// What happens now, where the state alone does not say it, and what to do.
fn follows(id: JobId, deed: Deed, state: &str) -> Option<String> {
    match (deed, State::parse(state)?) {
        (Deed::Cancel, State::Running) => Some(format!(
            "its handler is asked to stop, and then it is cancelled; one that ends before it hears that ends it as it would have. \
             How it goes: backshift jobs show {id}"
        )),
        (Deed::Retry, State::Running) => Some(format!(
            "it runs now, nothing was changed. When it has ended it can be run again; to end it sooner: backshift jobs cancel {id}"
        )),
        (Deed::Retry, State::Available) => {
            Some(format!("it runs as soon as a worker takes it. Why it waits: backshift jobs explain {id}"))
        }
        _ => None,
    }
}

/// What a wish for a job that is over comes to: nothing, and that is said.
fn already_over(id: JobId, deed: Deed, state: State) -> String {
    match (deed, state) {
        (Deed::Retry, _) => {
            format!("job {id} is completed and runs no second time: enqueue a new one with its payload")
        }
        (_, State::Dead) => {
            format!(
                "job {id} is dead already: nothing of it runs any more; to forget it: backshift jobs delete {id}"
            )
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
