//! `backshift jobs`: look at jobs and steer single ones. Order and cursor are those of the store's list.

use backshift_core::{
    Deed, EffectState, JobFilter, JobId, JobRecord, Kind, Page, QueueName, Stands, Store, StoreError,
    Timestamp, record::Found,
};
use backshift_http::pages::told;
use serde_json::{Value, json};

use super::{explain, hands, known_kinds::KnownKinds, known_queues::KnownQueues, many};
use crate::{
    args::{Filters, Jobs, JobsList, Many, OneJob, SomeJobs},
    config::{Config, duration},
    exit::Failure,
    output,
    wiring::Backend,
};

/// Runs the subcommand.
pub(super) async fn run(command: &Jobs, config: &Config, backend: &Backend) -> Result<(), Failure> {
    let store: &dyn Store = &**backend.store()?;
    match command {
        Jobs::List(args) => list(args, config, backend).await,
        Jobs::Show(args) if !args.output.json => explain::show(id(&args.id)?, config, store).await,
        Jobs::Show(args) => show(args, config, store).await,
        Jobs::Explain(args) => explain::job(id(&args.id)?, args.output.json, config, store).await,
        Jobs::Retry(args) => steer(Deed::Retry, args, backend).await,
        Jobs::Cancel(args) => steer(Deed::Cancel, args, backend).await,
        Jobs::Delete(args) => steer(Deed::Delete, args, backend).await,
        Jobs::Hands(args) => {
            let before = args.before.as_deref().map(|text| moment("before", text)).transpose()?;
            hands::list(args, before, store).await
        }
    }
}

/// These jobs, or all that match; never some of both.
async fn steer(deed: Deed, args: &SomeJobs, backend: &Backend) -> Result<(), Failure> {
    let Many { filters, dry_run, .. } = &args.many;
    if args.ids.is_empty() {
        return many::run(deed, args, filter(filters)?, backend).await;
    }
    if *dry_run || *filters != Filters::default() {
        return Err(Failure::usage(
            "name jobs by their ids, or name what they have in common (--state …, --dry-run), not both",
        ));
    }
    hands::each(deed, args, backend).await
}

async fn list(args: &JobsList, config: &Config, backend: &Backend) -> Result<(), Failure> {
    let store: &dyn Store = &**backend.store()?;
    let filter = filter(&args.filters)?;
    let page = Page { after: args.cursor.as_deref().map(id).transpose()?, limit: args.limit };
    let Found { jobs, looked } = store.search(&filter, &page).await.map_err(|error| match error {
        StoreError::NotFound(_) => {
            Failure::usage("--cursor: there is no job with this id any more; start without it")
        }
        other => other.into(),
    })?;
    if let Some(looked) = looked {
        // Beside the results, which a program may read.
        output::note(&format!(
            "looked at {}, back to {}; to look further: --cursor {}",
            output::count(looked.jobs.into(), "job", "jobs"),
            output::time(looked.back_to),
            looked.last
        ));
    }
    if args.output.json {
        output::json(&Value::Array(jobs.iter().map(|job| output::job_json(job, config)).collect()));
        return Ok(());
    }
    if jobs.is_empty() {
        output::nothing(&nothing(args, &filter, looked.is_some(), backend).await);
        return Ok(());
    }
    let cancelled = told::cancelled(store, &jobs).await?;
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = jobs.iter().map(|job| row(job, cancelled.get(&job.id), now)).collect();
    output::table(&["ID", "KIND", "QUEUE", "STATE", "ATTEMPT", "CREATED", "ERROR"], &rows);
    if jobs.len() == args.limit as usize
        && let Some(last) = jobs.last()
    {
        output::line(format!("more: backshift jobs list --cursor {}", last.id));
    }
    Ok(())
}

/// Why the list is empty, with the name that may have been meant.
async fn nothing(args: &JobsList, filter: &JobFilter, further: bool, backend: &Backend) -> String {
    if args.cursor.is_some() {
        return "no more jobs".to_owned();
    }
    if *filter == JobFilter::default() {
        return "no jobs yet; `backshift enqueue KIND --payload JSON` makes one".to_owned();
    }
    let mut meant = None;
    if let Some(queue) = &filter.queue {
        meant = KnownQueues::of(backend).nearest_to(queue).await.map(|near| format!("--queue {near}"));
    }
    if let (Some(kind), None) = (&filter.kind, &meant) {
        meant = KnownKinds::of(backend).nearest_to(kind).await.map(|near| format!("--kind {near}"));
    }
    let among = if further { " among those that were looked at" } else { "" };
    let meant = meant.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    format!("no job is like this{among}{meant}")
}

/// The jobs that the flags mean.
pub(super) fn filter(args: &Filters) -> Result<JobFilter, Failure> {
    let words =
        |what: &str, text: &str, all: &str| Failure::usage(format!("--{what} {text:?} is not one of {all}"));
    let stands = args.state.as_deref().map(|text| {
        Stands::meant_by(text).ok_or_else(|| {
            let meant =
                Stands::nearest(text).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            words("state", text, &(Stands::words().collect::<Vec<_>>().join(", ") + &meant))
        })
    });
    let stands = stands.transpose()?;
    let effect = args.effect.as_deref().map(|text| {
        EffectState::parse(text).ok_or_else(|| words("effect", text, "none, intended, done, ambiguous"))
    });
    Ok(JobFilter {
        state: stands.and_then(|stands| stands.state),
        standing: stands.and_then(|stands| stands.standing),
        effect: effect.transpose()?,
        kind: args.kind.as_deref().map(Kind::new).transpose().map_err(Failure::usage)?,
        queue: args.queue.as_deref().map(QueueName::new).transpose().map_err(Failure::usage)?,
        user: args
            .user
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|_| Failure::usage(no_user(args.user.as_deref().unwrap_or_default())))?,
        since: args.since.as_deref().map(|text| moment("since", text)).transpose()?,
        until: args.until.as_deref().map(|text| moment("until", text)).transpose()?,
        words: args.text.clone(),
        error: args.error.clone(),
        payload: args.payload.clone(),
        cause: args.cause.clone(),
    })
}

/// A person is known here by an id; the name may stand in payloads.
fn no_user(text: &str) -> String {
    format!(
        "--user {text:?} is no id of a user: those look like 019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55; to find a name in payloads: \
         --payload {}",
        many::in_shell(text)
    )
}

/// A time, or how long ago it was.
fn moment(flag: &str, text: &str) -> Result<Timestamp, Failure> {
    let ago = || duration(text).ok().and_then(|ago| Timestamp::now().checked_sub(ago).ok());
    text.parse().ok().or_else(ago).ok_or_else(|| {
        Failure::usage(format!("--{flag} {text:?} is no time: write 2h or 2026-11-20T14:00:00Z"))
    })
}

fn row(job: &JobRecord, cancelled: Option<&String>, now: Timestamp) -> Vec<String> {
    // Of a job that somebody cancelled, that is what to say: its last error is not why it ended.
    let error = cancelled.or(job.error.as_ref()).map(String::as_str).unwrap_or_default();
    let error: String = error.chars().take(60).collect();
    let most = job.max_attempts.map_or(String::new(), |most| format!("/{most}"));
    vec![
        job.id.to_string(),
        job.kind.to_string(),
        job.queue.to_string(),
        job.stands().to_owned(),
        format!("{}{most}", job.attempt),
        output::relative(job.created_at, now),
        error,
    ]
}

/// Everything that the store knows, for programs.
async fn show(args: &OneJob, config: &Config, store: &dyn Store) -> Result<(), Failure> {
    let id = id(&args.id)?;
    let Some(job) = store.find(id).await? else { return Err(explain::gone(id, store).await) };
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

fn id(text: &str) -> Result<JobId, Failure> {
    text.parse().map_err(Failure::usage)
}
