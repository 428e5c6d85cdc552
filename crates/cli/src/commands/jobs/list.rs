//! `jobs list`. Order and cursor are those of the store's list.

use backshift_core::{JobFilter, JobRecord, Page, Store, StoreError, Timestamp, record::Found};
use backshift_http::pages::told;
use serde_json::Value;

use super::{Filters, filter, id};
use crate::{
    commands::{known_kinds::KnownKinds, known_queues::KnownQueues},
    config::Config,
    exit::Failure,
    output,
    wiring::Backend,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    filters: Filters,
    /// Rows, up to 500.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Continue after this job.
    #[arg(long, value_name = "ID")]
    cursor: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists them.
pub(super) async fn run(args: &Args, config: &Config, backend: &Backend) -> Result<(), Failure> {
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
    if args.json {
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
async fn nothing(args: &Args, filter: &JobFilter, further: bool, backend: &Backend) -> String {
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
