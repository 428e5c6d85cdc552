//! `backshift worker`: works queues until it is told to stop.
//!
//! The first SIGTERM drains, a second one aborts; unfinished work goes back without burning an attempt.

use std::{sync::Arc, time::Duration};

use backshift_core::{Kind, Registry};
use backshift_runtime::{Readiness, RunError, WorkerOptions};

use crate::{
    config::Config,
    domains::{
        Equipment, Role,
        mail::{self, Post},
    },
    exit::{Failure, Server},
    wiring::{
        Backend, Metrics, Missing, Names, Plan, Running, Schema, Site, WORK, plan, serve_probes, server_of,
        start_metrics, worker_builder, worker_name,
    },
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Queue and slots, such as default:20; repeat for more queues.
    #[arg(long = "queue", value_name = "QUEUE[:SLOTS]")]
    queues: Vec<String>,
    /// The broker alone: at least once, no fencing, no search.
    #[arg(long)]
    pub(crate) no_store: bool,
}

/// Runs the worker.
pub(super) async fn run(args: &Args, config: &Config) -> Result<(), Failure> {
    let mut running = Running::begin(config, args.no_store, Missing::Make)?;
    let Running { backend, ready, shutdown, .. } = &running;
    let plan = plan(&args.queues, config, backend)?;
    let post = Post::of_worker(config, backend, &plan)?;
    let equipment = Equipment { config, backend, role: Role::Site, post };
    let registry = equipment.registry()?;
    let post = equipment.post;
    warn_of_long_jobs(backend, &registry);
    let metrics = metrics_of(&plan, backend)?;
    let ended = shutdown.clone();
    serve_probes(config, ready, &metrics, async move { ended.aborted().await }).await?;
    Site::beside(config, backend, shutdown).await?;
    greet(config, &plan, backend);
    if !running.store_answers(config, Schema::Configured).await? {
        return Ok(());
    }
    let Running { backend, ready, .. } = &running;
    let mut worker = worker_builder(config, backend, &plan, registry, worker_name(config)?)?;
    if let Some(post) = &post {
        worker = worker.watching(post.worker.pause());
        ready.needs(post.check());
    }
    let worker = worker.build().map_err(Failure::configuration)?;
    ready.needs_worker(worker.readiness());
    if let Some(store) = &backend.store {
        ready.needs_database(store.database());
    }
    let (backend, shutdown) = running.started(WORK);
    tokio::spawn(announce(worker.readiness()));
    let result = worker.run(shutdown.clone()).await;
    shutdown.abort();
    backend.leave().await;
    match result {
        Ok(_) => Ok(()),
        Err(error @ RunError::Stuck(_)) => Err(Failure::failed(error)),
        Err(error) => Err(Failure::configuration(error)),
    }
}

fn metrics_of(plan: &Plan, backend: &Backend) -> Result<Metrics, Failure> {
    let metrics =
        start_metrics(if mail::is_of_system_c(plan, backend) { Names::OfSystemC } else { Names::Own })?;
    Ok(match &backend.store {
        Some(store) => metrics.with_ledger(Arc::clone(store) as _),
        None => metrics,
    })
}

/// Without a ledger nobody knows that a job still runs when its broker hands its message to somebody else.
fn warn_of_long_jobs(backend: &Backend, registry: &Registry) {
    let waits = backend.foreign.iter().filter_map(|foreign| Some((foreign.source, foreign.source.waits?)));
    for (source, waits) in waits.filter(|_| backend.store.is_none()) {
        for (kind, limit) in longer_than(registry, waits.usually) {
            tracing::warn!(
                kind,
                ?limit,
                "this kind may run longer than {} waits for an acknowledgement ({}, {} min unless it was changed): its message is \
                 then handed out again, and without a store another worker starts it a second time",
                source.title,
                waits.called,
                waits.usually.as_secs() / 60
            );
        }
    }
}

/// The kinds whose attempts may take longer, with their limit.
fn longer_than(registry: &Registry, limit: Duration) -> Vec<(String, Duration)> {
    let own = WorkerOptions::default().timeout;
    let of = |kind: &&str| {
        let kind = Kind::new(kind).ok()?;
        let timeout = registry.options(&kind)?.timeout.unwrap_or(own);
        (timeout > limit).then(|| (kind.to_string(), timeout))
    };
    registry.kinds().iter().filter_map(of).collect()
}

/// System C's messages, which its operators look for, where its queue is worked from its broker; else what runs where.
fn greet(config: &Config, plan: &Plan, backend: &Backend) {
    if mail::is_of_system_c(plan, backend) {
        tracing::info!("Starting SMAP Consumer Service...");
        tracing::info!("Starting SMTP Email Consumer...");
        return;
    }
    let queues: Vec<String> = plan.own.iter().map(|(queue, slots)| format!("{queue}:{slots}")).collect();
    let store = if backend.store.is_some() { server_of(config, Server::Store) } else { "none".to_owned() };
    let broker = backend.broker.name();
    tracing::info!(broker, store, queues = queues.join(","), "the worker starts");
}

/// The seed's message for each queue, once it is true.
async fn announce(readiness: Readiness) {
    let mut waiting = readiness.report().pools;
    while !waiting.is_empty() {
        let pools = readiness.report().pools;
        waiting.retain(|pool| {
            let consumed = pools.iter().any(|now| now.queue == pool.queue && now.consuming);
            if consumed {
                tracing::info!(slots = pool.slots, "Queue {} is being consumed", pool.queue);
            }
            !consumed
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use backshift_core::JobOptions;

    use super::*;

    #[test]
    fn kinds_that_outlive_the_server_s_patience_are_named() {
        let with = |registry: Registry, kind: &str, minutes: Option<u64>| {
            let timeout = minutes.map(|minutes| Duration::from_secs(60 * minutes));
            let options = JobOptions { timeout, ..JobOptions::default() };
            registry.with_raw(&Kind::new(kind).unwrap(), options, |_| async { Ok(()) })
        };
        let registry = with(Registry::default(), "short", Some(30));
        let registry = with(with(registry, "usual", None), "long", Some(31));
        let long = longer_than(&registry, Duration::from_secs(30 * 60));
        assert_eq!(long, [("long".to_owned(), Duration::from_secs(31 * 60))]);
    }
}
