//! `jobs show`: one job for people, as its page says it; with `--json` everything that the store knows, for programs.

use backshift_core::{JobId, JobRecord, State, Store, Timestamp};
use backshift_http::pages::told::{self, JobTold, Step};
use serde_json::json;

use super::{hands, id};
use crate::{
    commands::causes::{because, gone, told_of},
    config::Config,
    exit::Failure,
    output,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The job.
    id: String,
    /// Print JSON, for programs: headers, error and output whole and unmasked. A payload is never in it.
    #[arg(long)]
    json: bool,
}

/// Shows it.
pub(super) async fn run(args: &Args, config: &Config, store: &dyn Store) -> Result<(), Failure> {
    let id = id(&args.id)?;
    match args.json {
        true => for_programs(id, config, store).await,
        false => for_people(id, config, store).await,
    }
}

async fn for_people(id: JobId, config: &Config, store: &dyn Store) -> Result<(), Failure> {
    let JobTold { job, told, word, life, facts, payload, output: result } =
        told_of(id, config, store).await?;
    output::line(&told.headline);
    let id = ("Id", job.id.to_string(), String::new());
    let facts = facts.into_iter().map(|fact| {
        let when = fact.at.map(|at| told::moment(at, Timestamp::now()));
        (fact.name, fact.value, fact.beside.or(when).unwrap_or_default())
    });
    for (name, value, beside) in [id, ("State", word, progress(&job))].into_iter().chain(facts) {
        output::line(format!("  {name:<13} {value}  {beside}").trim_end());
    }
    because(&told);
    output::line("What happened (UTC)");
    life.iter().for_each(step);
    output::line(format!("Payload ({} bytes)", job.payload_size));
    output::lines(indented(&payload));
    if let Some(result) = result {
        output::line("Output");
        output::lines(indented(&result));
    }
    Ok(())
}

fn progress(job: &JobRecord) -> String {
    match &job.progress {
        Some((_, word)) if job.state == State::Running => word.clone(),
        _ => String::new(),
    }
}

fn step(step: &Step) {
    if !step.day.is_empty() {
        output::line(format!("  {}", step.day));
    }
    let worker = step.worker.as_ref().map_or(String::new(), |worker| format!(" on {worker}"));
    let took = if step.took.is_empty() { String::new() } else { format!("  ({})", step.took) };
    output::line(format!("  {:<12}  {}{worker}{}{took}", step.time, step.what, step.more));
    if let Some(said) = &step.said {
        output::line(format!("  {:<12}  {said}", ""));
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

async fn for_programs(id: JobId, config: &Config, store: &dyn Store) -> Result<(), Failure> {
    let Some(job) = store.find(id).await? else { return Err(gone(id, store).await) };
    let attempts = store.attempts(id).await?;
    let mut value = output::job_json(&job, config);
    value["attempts"] = attempts
        .iter()
        .map(|a| {
            json!({
                "attempt": a.attempt, "token": a.token.0, "worker": a.worker, "started_at": output::time(a.started_at),
                "ended_at": a.ended_at.map(output::time), "outcome": a.outcome, "error": a.error,
            })
        })
        .collect();
    value["hands"] = store.hands(id).await?.iter().map(hands::json).collect();
    value["headers"] = json!(job.headers);
    value["progress"] = json!(job.progress);
    value["output"] = json!(job.output.as_deref().map(String::from_utf8_lossy));
    value["note"] = json!(job.note);
    value["crashes"] = json!(job.crashes);
    value["payload_size"] = json!(job.payload_size);
    value["unique_key"] = json!(job.unique_key);
    output::json(&value);
    Ok(())
}
