//! *Try it*: a few demo jobs at the press of a button, and a form to enqueue any kind that somebody knows. Only for `dev`.
//!
//! What cannot be understood is said at its field, and what was written stays there.

use axum::{
    Form, Router,
    extract::Path,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use backshift_core::{Client, EnqueueError, EnqueueOptions, Kind, QueueName, StoreError};
use minijinja::{Value, context};
use serde::Deserialize;

use super::{Here, Pages, link, mask, sight::Sight};

/// Characters of what is said about a field.
const SAID: usize = 200;

/// What the page offers.
#[derive(Clone)]
pub struct Trial {
    /// Enqueues.
    pub client: Client,
    /// The buttons.
    pub demos: Vec<Demo>,
    /// The queue of a kind when the form names none.
    pub queue_of: fn(&Kind) -> &'static str,
}

/// One button.
#[derive(Debug, Clone, Copy)]
pub struct Demo {
    /// What is on it.
    pub name: &'static str,
    /// What happens.
    pub what: &'static str,
    /// The kind of its jobs.
    pub kind: &'static str,
    /// Their payload, JSON.
    pub payload: &'static str,
    /// How many.
    pub count: usize,
}

/// What was written into the form.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Written {
    kind: String,
    queue: String,
    payload: String,
}

/// What is wrong with each field.
#[derive(Default)]
struct Wrong {
    kind: Option<String>,
    queue: Option<String>,
    payload: Option<String>,
}

/// Routes that show.
pub(super) fn shown() -> Router<Pages> {
    Router::new().route("/try", get(page))
}

/// Routes that enqueue.
pub(super) fn actions() -> Router<Pages> {
    Router::new().route("/try", post(enqueue)).route("/try/{number}", post(demo))
}

async fn page(Here(pages): Here) -> Response {
    form(&pages, &Written::default(), &Wrong::default()).await
}

async fn demo(Here(pages): Here, Path(number): Path<usize>) -> Response {
    let Some((trial, demo)) = pages.trial.as_deref().and_then(|t| Some((t, *t.demos.get(number)?))) else {
        return pages.away(&StoreError::NotFound("There is no such button.".into()));
    };
    let named = Kind::new(demo.kind).and_then(|kind| Ok((QueueName::new((trial.queue_of)(&kind))?, kind)));
    match named {
        Ok((queue, kind)) => accepted(&pages, trial, kind, queue, demo.payload, demo.count).await,
        Err(error) => pages.away(&StoreError::Rejected(error.to_string())),
    }
}

async fn enqueue(Here(pages): Here, Form(written): Form<Written>) -> Response {
    let Some(trial) = pages.trial.clone() else {
        return pages.away(&StoreError::NotFound("Nothing is enqueued here.".into()));
    };
    let sight = match pages.sight().await {
        Ok(sight) => sight,
        Err(error) => return pages.away(&error),
    };
    match read(&written, &sight, &trial) {
        Ok((kind, queue)) => accepted(&pages, &trial, kind, queue, &written.payload, 1).await,
        Err(wrong) => form(&pages, &written, &wrong).await,
    }
}

fn read(written: &Written, sight: &Sight, trial: &Trial) -> Result<(Kind, QueueName), Box<Wrong>> {
    let mut wrong = Wrong::default();
    let kind = Kind::new(written.kind.trim()).map_err(|error| error.to_string());
    let known = known(sight);
    let kind = kind.and_then(|kind| {
        if known.contains(&kind.as_str()) {
            return Ok(kind);
        }
        Err(match known.is_empty() {
            true => "No worker has said yet which kinds it knows.".to_owned(),
            false => format!("No worker knows {kind}. There are {}.", known.join(", ")),
        })
    });
    let queue = match (written.queue.trim(), &kind) {
        ("", Ok(kind)) => QueueName::new((trial.queue_of)(kind)).map(Some),
        ("", Err(_)) => Ok(None),
        (queue, _) => QueueName::new(queue).map(Some),
    };
    wrong.queue = queue.as_ref().err().map(ToString::to_string);
    wrong.payload = serde_json::from_str::<serde::de::IgnoredAny>(&written.payload)
        .err()
        .map(|error| format!("This is no JSON: {error}."));
    match (kind, queue) {
        (Ok(kind), Ok(Some(queue))) if wrong.payload.is_none() => Ok((kind, queue)),
        (kind, _) => {
            wrong.kind = kind.err();
            Err(Box::new(wrong))
        }
    }
}

/// Kinds that a worker has announced, each once.
fn known(sight: &Sight) -> Vec<&str> {
    let mut kinds: Vec<&str> = sight.workers.iter().flat_map(|w| w.kinds.iter().map(Kind::as_str)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

async fn accepted(
    pages: &Pages,
    trial: &Trial,
    kind: Kind,
    queue: QueueName,
    payload: &str,
    count: usize,
) -> Response {
    let one = || {
        let options = EnqueueOptions::default();
        trial.client.envelope(kind.clone(), queue.clone(), payload.to_owned(), options)
    };
    let answers = trial.client.enqueue_many((0..count).map(|_| one()).collect()).await;
    pages.watch.forget();
    let taken = answers.iter().filter(|answer| answer.is_ok()).count();
    let mut last = None;
    for answer in answers {
        match answer {
            Ok(accepted) => last = Some(accepted.id()),
            Err(error) => return pages.away(&refused(&error, taken, count)),
        }
    }
    let to = match last {
        Some(id) if count == 1 => format!("/jobs/{id}"),
        _ => format!("/jobs?find=kind:{}", link::encode(kind.as_str())),
    };
    Redirect::to(&pages.at(&to)).into_response()
}

/// What kept a job from being accepted: a server that is away is nobody's mistake.
fn refused(error: &EnqueueError, taken: usize, count: usize) -> StoreError {
    let said =
        if count == 1 { error.to_string() } else { format!("{taken} of {count} were accepted. {error}") };
    if error.is_outage() { StoreError::Unavailable(said) } else { StoreError::Rejected(said) }
}

async fn form(pages: &Pages, written: &Written, wrong: &Wrong) -> Response {
    let sight = match pages.sight().await {
        Ok(sight) => sight,
        Err(error) => return pages.away(&error),
    };
    let demos = pages.trial.iter().flat_map(|trial| trial.demos.iter().enumerate());
    let button = |(n, demo): (usize, &Demo)| {
        let action = Value::from_safe_string(format!("/try/{n}"));
        context! { action, name => demo.name, what => demo.what, kind => demo.kind }
    };
    let said = |text: &Option<String>| text.as_ref().map(|text| mask::said(text, SAID));
    let values = context! {
        title => "Try it",
        demos => demos.map(button).collect::<Vec<_>>(),
        kinds => known(&sight).into_iter().map(str::to_owned).collect::<Vec<_>>(),
        kind => written.kind.as_str(),
        queue => written.queue.as_str(),
        payload => if written.payload.is_empty() { "{}" } else { written.payload.as_str() },
        wrong_kind => said(&wrong.kind),
        wrong_queue => said(&wrong.queue),
        wrong_payload => said(&wrong.payload),
    };
    let mut answer = pages.framed("/try", "try.html", values).await;
    if wrong.kind.is_some() || wrong.queue.is_some() || wrong.payload.is_some() {
        *answer.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_away_is_no_mistake_of_who_pressed_the_button() {
        let away = refused(&EnqueueError::Store(StoreError::Unavailable("refused".into())), 40, 200);
        assert!(
            matches!(&away, StoreError::Unavailable(said) if said.starts_with("40 of 200 were accepted. "))
        );
        let wrong = refused(&EnqueueError::Invalid("too large".into()), 0, 1);
        assert!(matches!(&wrong, StoreError::Rejected(said) if said == "too large"));
    }
}
