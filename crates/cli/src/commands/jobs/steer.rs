//! `jobs retry|cancel|delete`: these jobs, or all that match; never some of both.

use std::collections::BTreeSet;

use backshift_core::{Deed, JobId, State, Store, StoreError};
use serde_json::json;

use super::{
    Filters, filter,
    many::{self, Many},
};
use crate::{
    commands::{causes::gone, hand::hand},
    exit::Failure,
    output,
    wiring::Backend,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The jobs; or name a state and more, for all that match.
    #[arg(conflicts_with = "state")]
    pub(super) ids: Vec<String>,
    #[command(flatten)]
    pub(super) many: Many,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Does it.
pub(super) async fn run(deed: Deed, args: &Args, backend: &Backend) -> Result<(), Failure> {
    let Many { filters, dry_run, .. } = &args.many;
    if args.ids.is_empty() {
        return many::run(deed, &args.many, args.json, filter(filters)?, backend).await;
    }
    if *dry_run || *filters != Filters::default() {
        return Err(Failure::usage(
            "name jobs by their ids, or name what they have in common (--state …, --dry-run), not both",
        ));
    }
    each(deed, args, backend).await
}

/// Does it to each of these jobs, and tells the workers that wait for their queues.
async fn each(deed: Deed, args: &Args, backend: &Backend) -> Result<(), Failure> {
    let store: &dyn Store = &**backend.store()?;
    let ended = one_by_one(deed, args, store).await;
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
async fn one_by_one(deed: Deed, args: &Args, store: &dyn Store) -> Result<(), Failure> {
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
                problems.push(gone(id, store).await.to_string());
            }
            Err(error) => problems.push(format!("{id}: {error}")),
        }
    }
    if args.json {
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
