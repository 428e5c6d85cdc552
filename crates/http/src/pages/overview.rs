//! The first page: a sentence, what needs a person, the figures, the queues.

use axum::response::Response;
use backshift_core::{QueueCounts, State, Timestamp, store::ParkedKind};
use minijinja::{Value, context};

use super::{
    Here, link,
    need::Need,
    needs::{needs, waiting, waits_more},
    sight::{SAMPLE, Sight},
    view::View,
    words,
};

/// Queues that the first page shows; all are on a page of their own.
const ROWS: usize = 20;

/// How a queue stands whose jobs no worker takes.
pub(super) const NOBODY: (&str, &str) = ("retrying", "Nobody works it");
/// And one that somebody stopped.
pub(super) const PAUSED: (&str, &str) = ("scheduled", "Paused");
/// And one in which nothing waits that its workers know.
pub(super) const PARKED: (&str, &str) = ("retrying", "Parked");
/// And one that is empty, and would not be worked if it were not.
pub(super) const NO_WORKER: (&str, &str) = ("scheduled", "Empty, no worker");

/// `GET /overview`.
pub(super) async fn page(Here(pages): Here) -> Response {
    match pages.sight().await {
        Ok(sight) => pages.framed("/overview", "overview.html", values(&sight)).await,
        Err(error) => pages.away(&error),
    }
}

fn values(sight: &Sight) -> Value {
    let now = Timestamp::now();
    let view = View::of(sight);
    let needs = needs(&view, now);
    let running = sight.total(State::Running);
    let waits = sight.queues.iter().map(waiting).sum();
    let any = |more: &dyn Fn(&QueueCounts) -> bool| sight.queues.iter().any(more);
    let of =
        |state| words::or_more(sight.total(state), any(&|queue: &QueueCounts| queue.more.contains(&state)));
    let figure = |number: String, word: &str| context! { quiet => number == "0", number, word };
    let (queues, workers) = (sight.queues.len() as u64, sight.workers.len() as u64);
    context! {
        title => "Overview",
        sentence => sentence(sight, &needs, running, waits),
        under => under(queues, workers),
        needs => needs.iter().map(Need::value).collect::<Vec<_>>(),
        figures => vec![
            figure(of(State::Completed), "completed, last day"),
            figure(of(State::Running), "running"),
            figure(words::or_more(waits, any(&waits_more)), "waiting"),
            figure(of(State::Dead), "dead"),
            figure(words::or_more(sight.unclear, sight.unclear >= u64::from(SAMPLE)), "ambiguous effects"),
        ],
        queues => troubled_first(&view).into_iter().take(ROWS).map(|queue| row(queue, &view, now)).collect::<Vec<_>>(),
        others => (queues > ROWS as u64).then(|| words::count(queues - ROWS as u64, "more queue", "more queues")),
    }
}

fn troubled_first<'a>(view: &View<'a>) -> Vec<&'a QueueCounts> {
    let mut queues: Vec<_> = view.sight.queues.iter().collect();
    let calm = |queue: &QueueCounts| !queue.paused && standing(queue, view) != NOBODY;
    queues.sort_by_cached_key(|queue| (calm(queue), queue.count(State::Dead) == 0));
    queues
}

fn under(queues: u64, workers: u64) -> String {
    let parts = [
        (queues, words::count(queues, "queue", "queues")),
        (workers, words::count(workers, "worker", "workers")),
    ];
    parts.into_iter().filter(|(n, _)| *n > 0).map(|(_, text)| text).collect::<Vec<_>>().join(", ")
}

/// How things stand, in words.
fn sentence(sight: &Sight, needs: &[Need], running: u64, waiting: u64) -> String {
    let more = |state: &State| sight.queues.iter().any(|queue| queue.more.contains(state));
    let ended = [State::Scheduled, State::Available, State::Retrying, State::Running].iter().any(more);
    let work = match (running, waiting) {
        _ if sight.queues.iter().all(|queue| queue.by_state.is_empty()) => "No work yet.",
        (0, 0) if !ended => "All work is done.",
        (0, 0) => "What was counted is done.",
        (0, _) => "Work is waiting.",
        _ => "Work is moving.",
    };
    let need = match needs.iter().map(|need| need.things).sum::<u64>() {
        0 => "Nothing needs you.".to_owned(),
        1 => "One thing needs you.".to_owned(),
        2 => "Two things need you.".to_owned(),
        3 => "Three things need you.".to_owned(),
        n => format!("{n} things need you."),
    };
    format!("{work} {need}")
}

/// A queue as its row shows it, on this page and on its own.
pub(super) fn row(queue: &QueueCounts, view: &View<'_>, now: Timestamp) -> Value {
    // A cell has no room for words.
    let n = |state| {
        let more = if queue.more.contains(&state) { "+" } else { "" };
        format!("{}{more}", words::number(queue.count(state)))
    };
    let (tone, word) = standing(queue, view);
    context! {
        name => queue.queue.as_str(),
        href => link::jobs_of_queue(&queue.queue),
        turn => link::queue(&queue.queue, if queue.paused { "resume" } else { "pause" }),
        paused => queue.paused,
        tone, word,
        waiting => format!("{}{}", words::number(waiting(queue)), if waits_more(queue) { "+" } else { "" }),
        scheduled => n(State::Scheduled),
        available => n(State::Available),
        running => n(State::Running),
        retrying => n(State::Retrying),
        completed => n(State::Completed),
        dead => n(State::Dead),
        oldest => queue.oldest_due.filter(|due| *due <= now).map_or(String::new(), |due| words::span(due, now)),
    }
}

/// Whether nothing waits that a worker would take, as far as the ledger counts what is parked.
fn all_parked(queue: &QueueCounts, view: &View<'_>) -> bool {
    let (parked, more) = view.stranded_in(&queue.queue);
    parked >= queue.count(State::Available) || (more && parked >= u64::from(ParkedKind::COUNTED))
}

pub(super) fn standing(queue: &QueueCounts, view: &View<'_>) -> (&'static str, &'static str) {
    let (available, running) = (queue.count(State::Available), queue.count(State::Running));
    let attended = view.worked.has(&queue.queue);
    match (queue.paused, running, available) {
        (true, ..) => PAUSED,
        (_, 1.., _) => ("running", "Moving"),
        // What is for later waits for nobody yet; what is due does.
        (_, 0, 1..) if !attended => NOBODY,
        (_, 0, 1..) if all_parked(queue, view) => PARKED,
        (_, 0, 1..) => ("available", "Waiting"),
        _ if waiting(queue) > 0 && attended => ("scheduled", "Waiting"),
        _ if waiting(queue) > 0 => ("scheduled", "Waiting, no worker"),
        _ if attended => ("completed", "Idle"),
        _ => NO_WORKER,
    }
}
