//! The list of jobs and the page of one job, with its two actions.

use axum::{
    extract::{Path, Query, State as Extract},
    response::{IntoResponse, Redirect, Response},
};
use backshift_core::{
    EffectState, JobFilter, JobId, JobRecord, Kind, Page, QueueName, State, StoreError, Timestamp,
};
use minijinja::{Value, context, value::Serde};
use serde::Deserialize;

use super::{
    Pages,
    explain::{Surroundings, explain},
    life::life,
    mask, words,
};

const ROWS: u32 = 50;

/// What the list is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    state: String,
    find: String,
    queue: String,
    after: String,
}

/// `GET /jobs`.
pub(super) async fn list(Extract(pages): Extract<Pages>, Query(asked): Query<Asked>) -> Response {
    if let Ok(id) = asked.find.trim().parse::<JobId>() {
        return Redirect::to(&format!("/jobs/{id}")).into_response();
    }
    let (filter, problem) = filter(&asked);
    let page = Page { after: asked.after.parse().ok(), limit: ROWS };
    let jobs = match pages.store.list(&filter, &page).await {
        Ok(jobs) => jobs,
        Err(error) => return pages.away(&error),
    };
    let here = if filter.state == Some(State::Dead) { "/jobs?state=dead" } else { "/jobs" };
    pages.framed(here, "jobs.html", list_values(&asked, &filter, problem, &jobs)).await
}

/// Reads `kind:`, `queue:` and `effect:` words; what is none of them is named as the problem.
fn filter(asked: &Asked) -> (JobFilter, Option<String>) {
    let mut filter = JobFilter { state: State::parse(&asked.state), ..JobFilter::default() };
    filter.queue = QueueName::new(&asked.queue).ok();
    let mut problem = None;
    for word in asked.find.split_whitespace() {
        let known = match word.split_once(':') {
            Some(("kind", name)) => Kind::new(name).map(|kind| filter.kind = Some(kind)).is_ok(),
            Some(("queue", name)) => QueueName::new(name).map(|queue| filter.queue = Some(queue)).is_ok(),
            Some(("effect", name)) => {
                EffectState::parse(name).map(|effect| filter.effect = Some(effect)).is_some()
            }
            _ => false,
        };
        if !known {
            problem = Some(format!("{word:?} is no job id, kind:NAME, queue:NAME or effect:WORD."));
        }
    }
    (filter, problem)
}

fn list_values(asked: &Asked, filter: &JobFilter, problem: Option<String>, jobs: &[JobRecord]) -> Value {
    let now = Timestamp::now();
    let tab = |name: &str, state: &str| {
        let query = [("state", state), ("find", asked.find.as_str()), ("queue", asked.queue.as_str())];
        context! { name, href => link(&query), here => asked.state == state }
    };
    let mut tabs = vec![tab("all", "")];
    tabs.extend(State::ALL.iter().map(|state| tab(state.as_str(), state.as_str())));
    let older = jobs.last().filter(|_| jobs.len() == ROWS as usize).map(|last| {
        let after = last.id.to_string();
        link(&[("state", &asked.state), ("find", &asked.find), ("queue", &asked.queue), ("after", &after)])
    });
    let sentence = match (filter.state, jobs.len()) {
        (Some(State::Dead), 0) => "No dead letters.".to_owned(),
        (Some(State::Dead), _) => "Dead letters wait for you.".to_owned(),
        (Some(state), _) => format!("Jobs that are {}.", state.as_str()),
        (None, _) => "All jobs.".to_owned(),
    };
    context! {
        title => "Jobs", sentence, tabs, older, problem,
        find => &asked.find, state => &asked.state,
        jobs => jobs.iter().map(|job| row(job, now)).collect::<Vec<_>>(),
        command => command(filter),
    }
}

fn link(query: &[(&str, &str)]) -> String {
    let mut text = String::from("/jobs");
    for (i, (key, value)) in query.iter().filter(|(_, value)| !value.is_empty()).enumerate() {
        let value: String = value.bytes().map(escape).collect();
        text.push_str(&format!("{}{key}={value}", if i == 0 { '?' } else { '&' }));
    }
    text
}

fn escape(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b':' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    }
}

fn command(filter: &JobFilter) -> String {
    let mut text = String::from("backshift jobs list");
    let flags = [
        ("state", filter.state.map(State::as_str)),
        ("kind", filter.kind.as_ref().map(Kind::as_str)),
        ("queue", filter.queue.as_ref().map(QueueName::as_str)),
        ("effect", filter.effect.map(EffectState::as_str)),
    ];
    flags.into_iter().filter_map(|(flag, value)| Some((flag, value?))).for_each(|(flag, value)| {
        text.push_str(&format!(" --{flag} {value}"));
    });
    text
}

fn row(job: &JobRecord, now: Timestamp) -> Value {
    let when = match job.state {
        State::Scheduled | State::Retrying => format!("due {}", words::relative(job.run_at, now)),
        _ => words::relative(job.finished_at.unwrap_or(job.created_at), now),
    };
    let said = job.error.as_ref().filter(|_| job.state != State::Completed).or(job.note.as_ref());
    context! {
        id => job.id.to_string(),
        kind => job.kind.as_str(),
        queue => job.queue.as_str(),
        tone => job.state.as_str(),
        word => words::state(job),
        attempt => job.attempt,
        when,
        said => said.map(|text| text.chars().take(120).collect::<String>()).unwrap_or_default(),
    }
}

/// `GET /jobs/{id}`.
pub(super) async fn one(Extract(pages): Extract<Pages>, Path(id): Path<String>) -> Response {
    match one_values(&pages, &id).await {
        Ok(values) => pages.framed("/jobs", "job.html", values).await,
        Err(error) => pages.away(&error),
    }
}

async fn one_values(pages: &Pages, id: &str) -> Result<Value, StoreError> {
    let gone =
        || StoreError::NotFound(format!("there is no job {id}; finished jobs are deleted after a while"));
    let job = pages.store.find(id.parse().map_err(|_| gone())?).await?.ok_or_else(gone)?;
    let attempts = pages.store.attempts(job.id).await?;
    let workers = pages.store.workers().await?;
    let around = Surroundings {
        paused: pages.store.paused().await?.contains(&job.queue),
        attended: workers
            .iter()
            .any(|w| w.queues.split(',').any(|q| q.split(':').next() == Some(job.queue.as_str()))),
        now: Timestamp::now(),
    };
    let told = explain(&job, around);
    Ok(context! {
        title => job.kind.as_str(),
        headline => headline(&job),
        job => row(&job, around.now),
        question => told.question, explain => told.reasons, remedy => Value::from(Serde(told.remedy)),
        life => Value::from(Serde(life(&job, &attempts))),
        facts => Value::from(Serde(facts(&job))),
        size => format!("{} bytes", words::number(job.payload_size)),
        payload => job.payload.as_ref().map_or("(not kept: it is sensitive or too large)".to_owned(), |p| mask::payload(p)),
        output => job.output.as_ref().map(|output| mask::payload(output)),
        can_retry => matches!(job.state, State::Dead | State::Retrying | State::Scheduled | State::Cancelled),
        can_cancel => !job.state.is_final(),
    })
}

fn headline(job: &JobRecord) -> String {
    let does = match job.state {
        State::Scheduled => "waits for its time",
        State::Available => "waits for a free slot",
        State::Running => "is running",
        State::Retrying => "will be tried again",
        State::Completed => "is done",
        State::Dead => "is dead",
        State::Cancelled => "was cancelled",
    };
    format!("{} {does}", job.kind)
}

fn facts(job: &JobRecord) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Kind", job.kind.to_string()),
        ("Queue", format!("{} on {}", job.queue, job.broker)),
        (
            "Effect",
            if job.effect == EffectState::None { "none yet".into() } else { job.effect.as_str().to_owned() },
        ),
        ("Starts", job.token.to_string()),
        ("Priority", job.priority.to_string()),
        ("Accepted", job.created_at.to_string()),
    ];
    let optional = [
        ("Finished", job.finished_at.map(|at| at.to_string())),
        ("Unique key", job.unique_key.clone()),
        ("Progress", job.progress.as_ref().map(|(percent, word)| format!("{percent} % {word}"))),
        ("Note", job.note.clone()),
        ("Reason", job.reason.clone()),
        ("Worker", job.worker.clone()),
        ("User", job.user_id.map(|id| id.to_string())),
        ("Lost workers", (job.crashes > 0).then(|| job.crashes.to_string())),
    ];
    facts.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    facts
}

/// `POST /jobs/{id}/retry`.
pub(super) async fn retry(Extract(pages): Extract<Pages>, Path(id): Path<String>) -> Response {
    steer(&pages, &id, true).await
}

/// `POST /jobs/{id}/cancel`.
pub(super) async fn cancel(Extract(pages): Extract<Pages>, Path(id): Path<String>) -> Response {
    steer(&pages, &id, false).await
}

async fn steer(pages: &Pages, id: &str, again: bool) -> Response {
    let Ok(job) = id.parse::<JobId>() else {
        return pages.away(&StoreError::NotFound(format!("there is no job {id}")));
    };
    let result = if again { pages.store.retry(job).await } else { pages.store.cancel(job).await };
    match result {
        Ok(_) => Redirect::to(&format!("/jobs/{job}")).into_response(),
        Err(error) => pages.away(&error),
    }
}
