//! `jobs retry|cancel|delete --state … `: all that match, in batches, with the count and what will happen asked before.
//!
//! Killed and run again with the same words within the hour, it goes on where it stopped: the store keeps the place.

use std::io::{IsTerminal as _, Write as _};

use backshift_core::{
    Deed, JobFilter, Store, StoreError, Sweep,
    sweep::{Matching, Swept},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{Filters, words};
use crate::{commands::hand::hand, exit::Failure, output, wiring::Backend};

/// All that match.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Many {
    #[command(flatten)]
    pub(super) filters: Filters,
    /// Say how many match and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do it without asking.
    #[arg(long)]
    pub(super) yes: bool,
    /// Why, for those who look at it later.
    #[arg(long, value_name = "TEXT")]
    pub(super) why: Option<String>,
}

/// So often a batch is tried again while the store is away.
const TRIES: u32 = 5;

/// Does it to all that match.
pub(super) async fn run(
    deed: Deed,
    many: &Many,
    as_json: bool,
    filter: JobFilter,
    backend: &Backend,
) -> Result<(), Failure> {
    let store: &dyn Store = &**backend.store()?;
    let Many { dry_run, yes, why, filters } = many;
    let hand = hand(why.as_deref())?;
    let Some(stands) = filter.stands() else {
        return Err(Failure::usage(
            "name jobs by their ids, or --state and what else they have in common: what is done to jobs of every state is rarely meant",
        ));
    };
    if !deed.applies_to_all(&filter) {
        return Err(Failure::usage(format!("{} does not apply to {stands} jobs", deed.as_str())));
    }
    let matching = store.matching(&filter).await?;
    if *dry_run {
        told(as_json, deed, matching, None);
        return Ok(());
    }
    // Counting gives up after a while: then there may be many further back.
    if (matching.jobs > 0 || matching.more) && !yes && !asked(deed, &filter, matching)? {
        return Err(Failure::failed("nothing was changed"));
    }
    let sweep = Sweep { deed, filter, words: words(filters), hand, expected: matching };
    let swept = go(&sweep, matching, as_json, backend).await?;
    told(as_json, deed, matching, Some(&swept));
    Ok(())
}

/// Batch after batch. What was committed stays, whatever ends this.
async fn go(sweep: &Sweep, matching: Matching, quiet: bool, backend: &Backend) -> Result<Swept, Failure> {
    let store: &dyn Store = &**backend.store()?;
    let mut swept = store.begin_sweep(sweep).await?;
    if swept.found > 0 {
        output::note(&format!(
            "going on with what was begun before: {} looked at, {} changed",
            swept.found, swept.changed
        ));
    }
    // What was looked at before is done; what matches now is what is left.
    let bar = bar(matching.jobs + swept.found, quiet);
    let mut failures = 0;
    while !swept.done {
        bar.set_position(swept.found);
        match store.sweep(swept.id, &sweep.hand).await {
            Ok(next) => {
                failures = 0;
                backend.ring(next.queues.iter().cloned()).await;
                swept = next;
            }
            Err(error) if error.is_transient() && failures < TRIES => {
                failures += 1;
                tokio::time::sleep(std::time::Duration::from_millis(200) * failures).await;
            }
            Err(error) => {
                bar.abandon();
                return Err(stopped(&swept, error));
            }
        }
    }
    bar.finish_and_clear();
    Ok(swept)
}

fn stopped(swept: &Swept, error: StoreError) -> Failure {
    output::note(&format!(
        "stopped after {}; the same command goes on from there within the hour",
        output::count(swept.found, "job", "jobs")
    ));
    error.into()
}

fn bar(jobs: u64, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len}, {elapsed}, {eta} left");
    let bar = ProgressBar::new(jobs);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

fn number(matching: Matching) -> String {
    match (matching.jobs, matching.more) {
        (0, true) => "an unknown number of jobs (counting was given up)".to_owned(),
        (n, true) => format!("more than {}", output::count(n, "job", "jobs")),
        (n, false) => output::count(n, "job", "jobs"),
    }
}

/// What follows, in words.
fn consequence(deed: Deed, jobs: u64) -> &'static str {
    match (deed, jobs) {
        (Deed::Retry, 1) => {
            "runs again now, with fresh attempts; what it did outside before may happen twice"
        }
        (Deed::Retry, _) => {
            "run again now, each with fresh attempts; what they did outside before may happen twice"
        }
        (Deed::Cancel, 1) => "is cancelled, or asked to stop where it runs",
        (Deed::Cancel, _) => "are cancelled; those that run are asked to stop",
        (Deed::Delete, 1) => "is deleted with its attempts, for good",
        (Deed::Delete, _) => "are deleted with their attempts, for good",
    }
}

/// Asks whoever sits there; a script has to say --yes.
fn asked(deed: Deed, filter: &JobFilter, matching: Matching) -> Result<bool, Failure> {
    let stands = filter.stands().unwrap_or_default();
    let question = format!("{} ({stands}) {}.", number(matching), consequence(deed, matching.jobs));
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{question} Add --yes to do it, or --dry-run to look only")));
    }
    output::note(&question);
    let _ = write!(std::io::stderr(), "Go on? [y/N] ");
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::failed(format!("no answer: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn told(as_json: bool, deed: Deed, matching: Matching, swept: Option<&Swept>) {
    if as_json {
        output::json(&json!({
            "deed": deed.as_str(), "matching": matching.jobs, "more": matching.more, "dry_run": swept.is_none(),
            "sweep": swept.map(|swept| swept.id.to_string()), "found": swept.map(|swept| swept.found),
            "changed": swept.map(|swept| swept.changed),
        }));
        return;
    }
    match swept {
        None if matching.jobs == 0 && !matching.more => output::nothing("no job is like this"),
        None => {
            let (verb, rest) = consequence(deed, matching.jobs).split_once(' ').unwrap_or_default();
            let verb = match verb {
                "is" | "are" => "be",
                _ => "run",
            };
            output::line(format!("{} would {verb} {rest}", number(matching)));
        }
        Some(swept) => {
            let left = swept.found - swept.changed.min(swept.found);
            let rest = match (left, deed) {
                (0, _) => String::new(),
                (n, Deed::Retry) => format!(
                    "; {n} left alone: changed meanwhile, a payload that was not kept, or a held unique key"
                ),
                (n, Deed::Delete) => format!(
                    "; {n} left alone: changed meanwhile, or a broker may still deliver them for a day"
                ),
                (n, Deed::Cancel) => format!("; {n} left alone: changed meanwhile"),
            };
            let done = match deed {
                Deed::Retry => "made to run again",
                Deed::Cancel => "cancelled or asked to stop",
                Deed::Delete => "deleted",
            };
            output::line(format!("{} {done}{rest}", output::count(swept.changed, "job", "jobs")));
        }
    }
}
