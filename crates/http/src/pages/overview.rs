//! The first page: a sentence, what needs a person, the figures, the queues.

use axum::{extract::State as Extract, response::Response};
use backshift_core::{EffectState, JobFilter, Page, QueueCounts, State, StoreError, Timestamp};
use minijinja::{Value, context, value::Serde};

use super::{
    Pages,
    needs::{Need, needs, waiting},
    words,
};

/// `GET /overview`.
pub(super) async fn page(Extract(pages): Extract<Pages>) -> Response {
    match values(&pages).await {
        Ok(values) => pages.framed("/overview", "overview.html", values).await,
        Err(error) => pages.away(&error),
    }
}

async fn values(pages: &Pages) -> Result<Value, StoreError> {
    let now = Timestamp::now();
    let queues = pages.store.counts().await?;
    let workers = pages.store.workers().await?;
    let breakers = pages.store.breakers().await?;
    let unclear = JobFilter { effect: Some(EffectState::Ambiguous), ..JobFilter::default() };
    let unclear = pages.store.list(&unclear, &Page { after: None, limit: 500 }).await?;
    let held = unclear.iter().filter(|job| job.state == State::Dead).count();
    let needs = needs(&queues, &breakers, &workers, held, now);
    let total = |state| queues.iter().map(|q| q.count(state)).sum::<u64>();
    let figure = |n: u64, word: &str| context! { number => words::number(n), word };
    Ok(context! {
        title => "Overview",
        sentence => sentence(&needs, total(State::Running), queues.iter().map(waiting).sum()),
        under => format!(
            "{}, {}",
            words::count(queues.len() as u64, "queue", "queues"),
            words::count(workers.len() as u64, "worker", "workers")
        ),
        needs => Value::from(Serde(needs)),
        figures => vec![
            figure(total(State::Completed), "completed"),
            figure(total(State::Running), "running"),
            figure(queues.iter().map(waiting).sum(), "waiting"),
            figure(total(State::Dead), "dead"),
            figure(unclear.len() as u64, "ambiguous effects"),
        ],
        queues => queues.iter().map(row).collect::<Vec<_>>(),
    })
}

/// How things stand, in words.
fn sentence(needs: &[Need], running: u64, waiting: u64) -> String {
    let work = match (running, waiting) {
        (0, 0) => "All work is done.",
        (0, _) => "Work is waiting.",
        _ => "Work is moving.",
    };
    let need = match needs.len() {
        0 => "Nothing needs you.".to_owned(),
        1 => "One thing needs you.".to_owned(),
        2 => "Two things need you.".to_owned(),
        n => format!("{n} things need you."),
    };
    format!("{work} {need}")
}

fn row(queue: &QueueCounts) -> Value {
    let n = |state| words::number(queue.count(state));
    context! {
        name => queue.queue.as_str(),
        paused => queue.paused,
        waiting => words::number(waiting(queue)),
        running => n(State::Running),
        retrying => n(State::Retrying),
        completed => n(State::Completed),
        dead => n(State::Dead),
    }
}
