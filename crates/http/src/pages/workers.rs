//! The workers that live and the breakers that they share.

use axum::response::Response;
use backshift_core::{
    QueueName, Timestamp,
    store::{BreakerRecord, Harm, Trouble, WorkerRecord},
};
use minijinja::{Value, context};

use super::{Here, link, mask, sight::Sight, words};

/// Characters of what the other side said.
const SAID: usize = 200;

/// `GET /workers`.
pub(super) async fn page(Here(pages): Here) -> Response {
    match pages.sight().await {
        Ok(sight) => pages.framed("/workers", "workers.html", values(&sight)).await,
        Err(error) => pages.away(&error),
    }
}

fn values(sight: &Sight) -> Value {
    let now = Timestamp::now();
    let running: u64 = sight.workers.iter().map(|w| u64::from(w.running)).sum();
    let workers = words::count(sight.workers.len() as u64, "worker", "workers");
    // While attempts fail, others succeed: such a worker is ready.
    let stopped = |trouble: &Trouble| trouble.harm != Harm::Failing;
    let unwell = sight.workers.iter().filter(|worker| worker.troubles.iter().any(stopped)).count();
    let sentence = match (sight.workers.len(), running) {
        (1, _) if unwell == 1 => "The one worker is not ready.".to_owned(),
        (_, _) if unwell > 0 => {
            format!("{unwell} of {workers} {} not ready.", if unwell == 1 { "is" } else { "are" })
        }
        (0, _) => "No worker runs.".to_owned(),
        (1, 0) => "1 worker is ready and has nothing to do.".to_owned(),
        (_, 0) => format!("{workers} are ready and have nothing to do."),
        (1, _) => format!("1 worker is at work on {}.", words::count(running, "job", "jobs")),
        _ => format!("{workers} are at work on {}.", words::count(running, "job", "jobs")),
    };
    context! {
        title => "Workers",
        sentence,
        workers => sight.workers.iter().map(|w| worker(w, now)).collect::<Vec<_>>(),
        breakers => sight.breakers.iter().map(|b| breaker(b, now)).collect::<Vec<_>>(),
    }
}

fn worker(worker: &WorkerRecord, now: Timestamp) -> Value {
    context! {
        name => worker.name.as_str(),
        pools => pools(&worker.queues),
        troubles => worker.troubles.iter().map(|one| trouble(one, now)).collect::<Vec<_>>(),
        idle => worker.running == 0,
        running => words::number(u64::from(worker.running)),
        since => words::moment(worker.started_at, now),
        seen => words::moment(worker.seen_at, now),
    }
}

fn trouble(trouble: &Trouble, now: Timestamp) -> Value {
    let part = mask::said(&trouble.part, SAID);
    context! {
        what => match trouble.harm {
            Harm::Held => format!("{part} is paused"),
            Harm::Failing => format!("{part} fails"),
            Harm::Unready => part,
        },
        tone => if trouble.harm == Harm::Unready { "dead" } else { "retrying" },
        said => mask::said(&trouble.said, SAID),
        since => words::moment(trouble.since, now),
        next => trouble.next.map(|at| words::moment(at, now)),
    }
}

fn breaker(breaker: &BreakerRecord, now: Timestamp) -> Value {
    context! {
        name => mask::said(&breaker.name, SAID),
        state => words::capital(&breaker.state),
        tone => if breaker.state == "closed" { "completed" } else { "retrying" },
        since => breaker.since.map(|at| words::moment(at, now)),
        failures => words::number(u64::from(breaker.failures)),
        next => breaker.open_until.filter(|_| breaker.state != "closed").map(|at| words::moment(at, now)),
        error => breaker.error.as_ref().map(|error| mask::said(error, SAID)),
    }
}

/// `default:10,mail:4` as `default, 10 slots · mail, 4 slots`, with the way to the jobs of each.
fn pools(announced: &str) -> Vec<Value> {
    let pool = |pool: &str| {
        let (name, slots) = match pool.rsplit_once(':') {
            Some((name, "1")) => (name, ", 1 slot".to_owned()),
            Some((name, slots)) => (name, format!(", {slots} slots")),
            None => (pool, String::new()),
        };
        let href = QueueName::new(name).ok().map(|queue| link::jobs_of_queue(&queue));
        context! { name, slots, href }
    };
    announced.split(',').map(pool).collect()
}
