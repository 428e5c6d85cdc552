//! Says once, at a worker's start, which of its jobs would wait in silence: kinds that stand in a queue that nobody works, and
//! schedules whose kind nobody has a handler for.
//!
//! Another worker of the fleet may work that queue, so the fleet is asked first; one that starts later is not known yet,
//! and then the word is wrong for a moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use backshift_core::{Kind, QueueName, Registry, Store, nearest, store::WorkerRecord};
use tokio::time::sleep;

use crate::{
    cron::{Cron, Schedule},
    engine::Engine,
    pool::Pool,
    sense::meant,
};

const AFTER_TROUBLE: Duration = Duration::from_secs(2);

/// Looks once, when this worker has announced itself.
pub(crate) async fn run(
    engine: Arc<Engine>,
    store: Option<Arc<dyn Store>>,
    pools: Vec<Arc<Pool>>,
    cron: Option<Arc<Cron>>,
) {
    engine.introduced.cancelled().await;
    let own: BTreeSet<&str> = pools.iter().map(|pool| pool.queue.as_str()).collect();
    let missing = unattended(&engine.registry, &own);
    let strange =
        cron.as_ref().map(|cron| strange(cron.schedules(), &engine.registry, &own)).unwrap_or_default();
    if !missing.is_empty() || !strange.is_empty() {
        let fleet = fleet(&engine, store.as_deref()).await;
        let works = |queue: &str| fleet.iter().any(|worker| worker.works(queue));
        for (queue, kinds) in missing.into_iter().filter(|(queue, _)| !works(queue)) {
            let (kinds, near) = (kinds.join(", "), mistaken(queue, &engine.registry, &own));
            tracing::warn!(
                queue,
                kinds,
                "jobs of these kinds stand in a queue that nobody works, and wait: add .pool({queue:?}, 10) to a worker, or start one \
                 with --queue {queue}{near}"
            );
        }
        for (schedule, kind, queue) in strange {
            if !fleet.iter().any(|worker| worker.kinds.contains(kind) && worker.works(queue.as_str())) {
                let near = meant(kind.as_str(), &engine.registry.kinds());
                tracing::warn!(
                    schedule,
                    %kind,
                    %queue,
                    "jobs of this schedule wait: nobody who works their queue has a handler for their kind; add it with .with(…) to the \
                     Registry of a worker with .pool({:?}, 10){near}",
                    queue.as_str()
                );
            }
        }
    }
    tracing::debug!("every kind of this worker was looked at for a queue that nobody works");
    // The supervisor would start a part that returned anew.
    std::future::pending().await
}

/// The schedules whose jobs this worker itself does not do.
fn strange<'s>(
    schedules: &'s [Schedule],
    registry: &Registry,
    pools: &BTreeSet<&str>,
) -> Vec<(&'s str, &'s Kind, &'s QueueName)> {
    let named = schedules.iter().map(|schedule| (schedule.name(), schedule.job()));
    let named = named.map(|(name, (kind, queue))| (name, kind, queue));
    // A kind of its own whose queue it does not work is said already.
    let here = |kind, queue: &str| {
        registry.options(kind).is_some() && (pools.contains(queue) || at_home(registry, kind, queue))
    };
    named.filter(|(_, kind, queue)| !here(kind, queue.as_str())).collect()
}

fn at_home(registry: &Registry, kind: &Kind, queue: &str) -> bool {
    registry.queues().any(|(known, home)| known == kind.as_str() && home == queue)
}

/// A pool that no kind of this worker goes to, with nearly the name of a queue that it does not work.
fn mistaken(queue: &str, registry: &Registry, pools: &BTreeSet<&str>) -> String {
    let idle = pools.iter().filter(|pool| !registry.queues().any(|(_, home)| home == **pool));
    nearest(queue, idle.map(|pool| (*pool).to_owned()))
        .map(|pool| format!(" (its pool {pool:?} is for no kind of this worker: is it a typing error?)"))
        .unwrap_or_default()
}

/// The queues of these handlers' kinds that no pool of this worker works, with the kinds.
fn unattended<'r>(registry: &'r Registry, pools: &BTreeSet<&str>) -> BTreeMap<&'static str, Vec<&'r str>> {
    let mut missing = BTreeMap::<_, Vec<_>>::new();
    for (kind, queue) in registry.queues().filter(|(_, queue)| !pools.contains(queue)) {
        missing.entry(queue).or_default().push(kind);
    }
    missing
}

/// Everybody who is seen at work; nobody without a store.
async fn fleet(engine: &Engine, store: Option<&dyn Store>) -> Vec<WorkerRecord> {
    let Some(store) = store else { return Vec::new() };
    loop {
        match store.workers().await {
            Ok(workers) => return workers,
            // Others say so already.
            Err(_) => sleep(engine.around(AFTER_TROUBLE)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use backshift_core::{Job, JobContext, Timestamp, WorkerName};
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Mail;
    impl Job for Mail {
        const KIND: &'static str = "mail";
        const QUEUE: &'static str = "a:mails";
    }
    #[derive(Serialize, Deserialize)]
    struct Ping;
    impl Job for Ping {
        const KIND: &'static str = "ping";
    }

    #[test]
    fn a_queue_is_unattended_when_neither_this_worker_nor_another_works_it() {
        let registry = Registry::default()
            .with(|_: Mail, _: JobContext| async { Ok(()) })
            .with(|_: Ping, _: JobContext| async { Ok(()) });
        let missing = unattended(&registry, &BTreeSet::from(["default"]));
        assert_eq!(missing, BTreeMap::from([("a:mails", vec!["mail"])]));
        assert!(unattended(&registry, &BTreeSet::from(["a:mails", "default"])).is_empty());
        let name = WorkerName::new("w").unwrap();
        let worker = |queues: &str| WorkerRecord::new(name.clone(), queues, Timestamp::UNIX_EPOCH);
        assert!(!worker("default:4").works("a:mails") && worker("x:1,a:mails:10").works("a:mails"));
        assert!(!worker("a:1").works("a:mails") && !worker("mails:10").works("a:mails"));
    }
}
