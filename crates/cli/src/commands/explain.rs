//! `jobs show`, `jobs explain`, `queues explain`: what the pages say, on a terminal.
//!
//! `explain` answers with its exit code too: 0 = nobody needs to act, 1 = somebody must. A name that nobody knows is a usage
//! error (2), so that 1 means only that.

use backshift_core::{JobId, QueueName, State, Store, Timestamp};
use backshift_http::pages::told::{self, Cause, JobTold, Step, Told};
use serde_json::{Value, json};

use super::known_queues::KnownQueues;
use crate::{args::OneQueue, config::Config, domains, exit::Failure, output, wiring::Backend};

/// `jobs show` for people.
pub(super) async fn show(id: JobId, config: &Config, store: &dyn Store) -> Result<(), Failure> {
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

fn progress(job: &backshift_core::JobRecord) -> String {
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

/// What the page of a job says.
async fn told_of(id: JobId, config: &Config, store: &dyn Store) -> Result<JobTold, Failure> {
    match told::job(store, id, &domains::own_kinds(config)).await? {
        Some(found) => Ok(found),
        None => Err(gone(id, store).await),
    }
}

/// That nobody knows this job: wrong use, as a name that nobody knows is everywhere. Who deleted it is said.
pub(super) async fn gone(id: JobId, store: &dyn Store) -> Failure {
    match told::gone(store, id).await {
        Ok(text) => Failure::usage(text),
        Err(error) => error.into(),
    }
}

/// `jobs explain`.
pub(super) async fn job(id: JobId, as_json: bool, config: &Config, store: &dyn Store) -> Result<(), Failure> {
    let JobTold { job, told, word, .. } = told_of(id, config, store).await?;
    if as_json {
        let mut value = json(&told);
        value["id"] = json!(job.id.to_string());
        value["kind"] = json!(job.kind.as_str());
        value["queue"] = json!(job.queue.as_str());
        value["state"] = json!(job.state.as_str());
        output::json(&value);
    } else {
        output::line(&told.headline);
        output::line(format!("  {}  {word}, queue {} on {}", job.id, job.queue, job.broker));
        because(&told);
    }
    verdict(&told)
}

/// `queues explain`.
pub(super) async fn queue(args: &OneQueue, config: &Config, backend: &Backend) -> Result<(), Failure> {
    let name = QueueName::new(&args.queue).map_err(Failure::usage)?;
    let Some((counts, told)) = told::queue(&**backend.store()?, &name, &domains::own_kinds(config)).await?
    else {
        let meant = KnownQueues::of(backend).nearest_to(&name).await;
        let meant = meant.map(|near| format!("did you mean {near}? ")).unwrap_or_default();
        return Err(Failure::usage(format!(
            "nothing is known of a queue {name}: no job is in it and no worker works it: {meant}`backshift queues list` shows all"
        )));
    };
    if args.output.json {
        let mut value = json(&told);
        value["queue"] = json!(counts.queue.as_str());
        value["paused"] = json!(counts.paused);
        for state in State::ALL {
            value[state.as_str()] = json!(counts.count(state));
        }
        output::json(&value);
    } else {
        output::line(&told.headline);
        because(&told);
    }
    verdict(&told)
}

/// The causes, in order.
fn because(told: &Told) {
    if told.causes.is_empty() {
        return;
    }
    output::line(told.question);
    let now = Timestamp::now();
    for (place, cause) in told.causes.iter().enumerate() {
        let when = cause.due.map_or(String::new(), |due| format!(", {}", told::moment(due, now)));
        let said = cause.said.as_ref().map_or(".".to_owned(), |said| format!(": {said}"));
        output::line(format!("  {}. {}{when}{said}", place + 1, cause.text));
        if let Some(evidence) = &cause.evidence {
            output::line(format!("     seen: {evidence}"));
        }
        if let Some((lead, command)) = &cause.remedy {
            output::line(format!("     {lead} {command}"));
        }
    }
}

fn json(told: &Told) -> Value {
    let cause = |cause: &Cause| {
        json!({
            "cause": cause.text, "at": cause.due.map(output::time), "said": cause.said, "evidence": cause.evidence,
            "lead": cause.remedy.as_ref().map(|(lead, _)| lead),
            "command": cause.remedy.as_ref().map(|(_, command)| command), "needs_somebody": cause.stays,
        })
    };
    json!({
        "headline": told.headline, "question": told.question, "needs_somebody": told.needs_somebody(),
        "causes": told.causes.iter().map(cause).collect::<Vec<_>>(),
    })
}

/// The end: exit code and, for people, the sentence that goes with it.
fn verdict(told: &Told) -> Result<(), Failure> {
    let Some(first) = told.causes.iter().find(|cause| cause.stays) else { return Ok(()) };
    // With its condition: a command that cancels or deletes is not for whoever reads the last line only.
    let remedy = first.remedy.as_ref().map_or(String::new(), |(lead, command)| format!(". {lead} {command}"));
    Err(Failure::failed(format!("somebody must act{remedy}")))
}
