//! The page of one job: why, what happened, facts, payload, and its actions.

use axum::{
    extract::{Path, Query},
    response::{IntoResponse, Redirect, Response},
};
use backshift_core::{Deed, JobRecord, State, StoreError, Timestamp};
use minijinja::{Value, context, value::Serde};

use serde::Deserialize;

use super::{
    Here, Pages, Trace, deleting,
    explain::{Surroundings, ends_alike, explain},
    facts::{Fact, facts, payload},
    jobs::row,
    life::life,
    link,
    mask::{self, Shown},
    reason::Reason,
    words,
};

/// Characters of a fact or of what the other side said.
const SAID: usize = 300;

/// How the page is asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct JobQuery {
    payload: String,
}

/// `GET /jobs/{id}`; `?payload=whole` unmasks.
pub(super) async fn page(
    Here(pages): Here,
    Path(id): Path<String>,
    Query(asked): Query<JobQuery>,
) -> Response {
    let shown = if asked.payload == "whole" { Shown::Whole } else { Shown::Masked };
    match values(&pages, &id, shown).await {
        Ok(values) => pages.framed("/jobs", "job.html", values).await,
        Err(error) => pages.away(&error),
    }
}

async fn values(pages: &Pages, id: &str, shown: Shown) -> Result<Value, StoreError> {
    let job = deleting::find(pages, id).await?;
    let attempts = pages.store.attempts(job.id).await?;
    let hands = pages.store.hands(job.id).await?;
    let sight = pages.sight().await?;
    let around = Surroundings {
        paused: sight.queues.iter().any(|queue| queue.queue == job.queue && queue.paused),
        workers: &sight.workers,
        hands: &hands,
        own: &pages.own,
        now: Timestamp::now(),
    };
    let told = explain(&job, around);
    let mut traces = Vec::new();
    for section in pages.sections.iter() {
        traces.extend(section.trace(job.id).await.map(trace));
    }
    Ok(context! {
        title => job.kind.as_str(),
        headline => words::headline(&job),
        job => row(&job, hands.last(), around.now),
        kind_href => link::jobs_of_kind(&job.kind),
        question => told.question,
        explain => told.reasons.iter().map(|reason| sentence(reason, around.now)).collect::<Vec<_>>(),
        remedy => Value::from(Serde(told.remedy)),
        progress => job.progress.as_ref().filter(|_| job.state == State::Running).map(progress),
        life => Value::from(Serde(life(&job, &attempts, &hands, around.now))),
        facts => facts(&job).into_iter().map(|one| fact(&job, one, around.now)).chain(traces).collect::<Vec<_>>(),
        size => words::count(job.payload_size, "byte", "bytes"),
        payload => payload(&job, shown),
        whole => shown == Shown::Whole,
        output => job.output.as_ref().map(|output| mask::payload(output, shown)),
        can_retry => matches!(job.state, State::Dead | State::Retrying | State::Scheduled | State::Cancelled),
        // What the page advises against is no first choice.
        advised => !ends_alike(&job),
        can_cancel => !job.state.is_final(),
        can_delete => job.state.is_final(),
    })
}

/// What a section has of this job.
fn trace(left: Trace) -> Value {
    context! { name => left.name, value => mask::said(&left.text, SAID), href => Value::from_safe_string(left.href) }
}

fn sentence(reason: &Reason, now: Timestamp) -> Value {
    context! {
        text => reason.text.as_str(),
        due => reason.due.map(|due| words::moment(due, now)),
        said => reason.said.as_ref().map(|said| mask::said(said, SAID)),
        evidence => reason.evidence.as_ref().map(|evidence| mask::said(evidence, SAID)),
    }
}

fn progress((percent, word): &(u8, String)) -> Value {
    context! { percent => (*percent).min(100), word => mask::said(word, SAID) }
}

/// A fact, with the way to where more of it is.
fn fact(job: &JobRecord, fact: Fact, now: Timestamp) -> Value {
    let href = match fact.name {
        "Kind" => Some(link::jobs_of_kind(&job.kind)),
        "Queue" => Some(link::jobs_of_queue(&job.queue)),
        "Worker" => job.worker.as_ref().map(|worker| Value::from_safe_string(link::worker(worker))),
        _ => None,
    };
    let when = fact.at.map(|at| words::moment(at, now));
    context! { name => fact.name, value => fact.value, beside => fact.beside, when, href }
}

/// `POST /jobs/{id}/retry`.
pub(super) async fn retry(Here(pages): Here, Path(id): Path<String>) -> Response {
    steer(&pages, &id, true).await
}

/// `POST /jobs/{id}/cancel`.
pub(super) async fn cancel(Here(pages): Here, Path(id): Path<String>) -> Response {
    steer(&pages, &id, false).await
}

fn too_late(what: &str) -> StoreError {
    StoreError::Rejected(format!("Nothing was changed: this job {what}"))
}

async fn steer(pages: &Pages, id: &str, again: bool) -> Response {
    let job = match deleting::find(pages, id).await {
        Ok(job) => job.id,
        Err(error) => return pages.away(&error),
    };
    let deed = if again { Deed::Retry } else { Deed::Cancel };
    let result = pages.store.act(deed, job, &pages.hand("")).await;
    pages.watch.forget();
    if let (true, Ok(_), Some(bell)) = (again, &result, &pages.bell)
        && let Ok(Some(job)) = pages.store.find(job).await
    {
        bell(job.queue);
    }
    match result {
        // Somebody else, or the job itself, was faster: who pressed the button must not think that it did something.
        Ok(State::Completed) => {
            pages.away(&too_late("is done: what is done neither runs again nor is cancelled."))
        }
        Ok(State::Dead) if !again => pages.away(&too_late("is dead already: nothing of it runs any more.")),
        Ok(_) => Redirect::to(&pages.at(&format!("/jobs/{job}"))).into_response(),
        Err(error) => pages.away(&error),
    }
}
