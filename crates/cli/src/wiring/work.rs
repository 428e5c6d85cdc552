//! What a worker works: the queues that were named, or all that the configuration calls for.

use std::sync::Arc;

use backshift_core::{Backoff, Kind, QueueName, Registry, WorkerName};
use backshift_runtime::{
    Worker, WorkerBuilder, WorkerOptions,
    middleware::{Metrics, Trace},
};

use backshift_store::HandsRetention;

use super::{Backend, Foreign};
use crate::{
    config::{Config, keys},
    domains,
    exit::Failure,
};

/// Queues and slots, by broker.
pub(crate) struct Plan {
    /// Pools on the command's broker.
    pub(crate) own: Vec<(QueueName, usize)>,
    /// Pools on foreign brokers beside it: queues of their peers.
    pub(crate) beside: Vec<(QueueName, usize)>,
}

/// The queue of a kind that has none of its own.
const DEFAULT: &str = "default";

/// Queues of the store that a worker takes when none are named.
pub(crate) fn own_queues() -> impl Iterator<Item = &'static str> {
    [DEFAULT].into_iter().chain(domains::queues())
}

/// Every queue that is known without having met a job.
pub(crate) fn known_queues() -> impl Iterator<Item = &'static str> {
    own_queues().chain(domains::peers())
}

/// The queue that a kind stands in unless the producer says otherwise; a worker without `--queue` works each of them.
/// `own` = the command's broker, when it is a foreign one.
pub(crate) fn own_queue(kind: &Kind, own: Option<&Foreign>) -> &'static str {
    domains::queue_of(kind, own).unwrap_or(DEFAULT)
}

/// Reads `--queue` flags; without them what is configured decides.
pub(crate) fn plan(named: &[String], config: &Config, backend: &Backend) -> Result<Plan, Failure> {
    let slots = config.get(&keys::WORKER_CONCURRENCY);
    let named: Vec<_> = named.iter().map(|text| queue(text, slots)).collect::<Result<_, _>>()?;
    if !named.is_empty() {
        return Ok(Plan { own: named, beside: Vec::new() });
    }
    if let Some(own) = backend.own() {
        let own = [(name(DEFAULT)?, slots)].into_iter().chain(own.bound.iter().cloned()).collect();
        return Ok(Plan { own, beside: Vec::new() });
    }
    let own = own_queues().map(|queue| Ok((name(queue)?, slots))).collect::<Result<_, Failure>>()?;
    Ok(Plan { own, beside: backend.beside().flat_map(|foreign| foreign.bound.iter().cloned()).collect() })
}

/// Whether a worker would understand these `--queue` flags.
pub(crate) fn check_queues(named: &[String]) -> Result<(), Failure> {
    named.iter().try_for_each(|text| queue(text, 10).map(drop))
}

/// The queues of this foreign broker that a worker with these `--queue` flags works.
pub(crate) fn foreign_queues(
    named: &[String],
    config: &Config,
    backend: &Backend,
    foreign: &Foreign,
) -> Result<Vec<QueueName>, Failure> {
    let plan = plan(named, config, backend)?;
    let is_own = backend.own().is_some_and(|own| own.source.name == foreign.source.name);
    let own = if is_own { plan.own } else { Vec::new() };
    let bound = plan.beside.into_iter().filter(|(queue, _)| foreign.is_bound(queue.as_str()));
    Ok(own.into_iter().chain(bound).map(|(queue, _)| queue).collect())
}

fn queue(text: &str, slots: usize) -> Result<(QueueName, usize), Failure> {
    let (queue, number) = match text.rsplit_once(':') {
        Some((queue, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
            let wrong =
                || Failure::usage(format!("--queue {text}: slots are a whole number from 1 to 10000"));
            (queue, number.parse().ok().filter(|n| (1..=10_000).contains(n)).ok_or_else(wrong)?)
        }
        // A queue's name may have colons, so that it is not taken for a number would be a guess.
        Some((_, word)) => {
            return Err(Failure::usage(format!(
                "--queue {text}: {word:?} is no number of slots; write {text}:{slots} if the queue is named {text:?}, else \
                 QUEUE:SLOTS such as default:{slots}"
            )));
        }
        None => (text, slots),
    };
    Ok((name(queue)?, number))
}

fn name(text: &str) -> Result<QueueName, Failure> {
    QueueName::new(text).map_err(Failure::usage)
}

/// A worker with these pools and handlers, not yet running.
pub(crate) fn worker_builder(
    config: &Config,
    backend: &Backend,
    plan: &Plan,
    registry: Registry,
    worker: WorkerName,
) -> Result<WorkerBuilder, Failure> {
    let database = backend.store.as_ref().map(|store| store.database());
    let retentions = database.map(|database| domains::retentions(config, database, &registry));
    let mut builder = Worker::builder()
        .name(worker)
        .registry(registry)
        .options(options(config))
        .middleware(Trace)
        .middleware(Metrics);
    if let Some(store) = &backend.store {
        builder = builder.store(Arc::clone(store) as Arc<dyn backshift_core::Store>).retention(Arc::new(
            HandsRetention::new(store.database().clone(), config.get(&keys::RETENTION_HANDS)),
        ));
        for retention in retentions.into_iter().flatten() {
            builder = builder.retention(retention);
        }
    }
    builder = builder.broker(Arc::clone(&backend.broker));
    for (queue, slots) in &plan.own {
        builder = builder.pool(queue.clone(), *slots);
    }
    for foreign in backend.beside() {
        let mut pools = plan.beside.iter().filter(|(queue, _)| foreign.is_bound(queue.as_str())).peekable();
        if pools.peek().is_some() {
            builder = builder.broker(Arc::clone(&foreign.broker));
        }
        for (queue, slots) in pools {
            builder = builder.pool(queue.clone(), *slots);
        }
    }
    Ok(builder)
}

/// The engine's numbers as configured.
fn options(config: &Config) -> WorkerOptions {
    WorkerOptions {
        lease: config.get(&keys::WORKER_LEASE),
        grace: config.get(&keys::SHUTDOWN_GRACE),
        max_attempts: config.get(&keys::MAX_ATTEMPTS),
        backoff: Backoff { base: config.get(&keys::RETRY_BASE), cap: config.get(&keys::RETRY_CAP) },
        strict: config.get(&keys::DURABILITY) == "strict",
        keep_finished: config.get(&keys::RETENTION_KEEP),
        forsaken_after: config.get(&keys::WORKER_FORSAKEN_AFTER),
        hand_over_after: config.get(&keys::WORKER_HAND_OVER_AFTER),
        keep_dead: Some(config.get(&keys::RETENTION_DEAD)).filter(|keep| !keep.is_zero()),
        ..WorkerOptions::default()
    }
}

/// The configured name, or host and pid.
pub(crate) fn worker_name(config: &Config) -> Result<WorkerName, Failure> {
    let text = match config.some(&keys::WORKER_NAME) {
        Some(name) => name.to_owned(),
        None => {
            let host =
                std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "worker".to_owned());
            format!("{}-{}", host.trim(), std::process::id())
        }
    };
    let wrong = |error| Failure::configuration(format!("{}: {error}", config.told(&keys::WORKER_NAME)));
    WorkerName::new(&text).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources;

    #[test]
    fn every_own_queue_is_worked_without_being_named() {
        let config = Config::defaults();
        let (source, url) = (sources::of_name("rabbitmq").unwrap(), "amqp://127.0.0.1:1");
        let rabbit = Foreign::open(&config, source, url).unwrap();
        for kind in ["email.send", "identity.send_code", "some.kind"] {
            let kind = Kind::new(kind).unwrap();
            let on_ledger = own_queue(&kind, None);
            assert!(own_queues().any(|queue| queue == on_ledger), "{kind} on the ledger");
            let at_rabbit = own_queue(&kind, Some(&rabbit));
            assert!(at_rabbit == DEFAULT || rabbit.is_bound(at_rabbit), "{kind} on rabbitmq");
        }
        assert_eq!(own_queue(&Kind::new("email.send").unwrap(), Some(&rabbit)), "smtp_send_email");
    }
}
