//! Whether this process is ready, put together from its parts.
//!
//! A process is alive from its first moment; it is not ready while it starts, drains, or has lost what it needs.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use backshift_core::{Broker, BrokerError, StoreError};
use backshift_http::health::{Cause, Check, Readiness};
use backshift_store::Database;

/// The longest time that a probe waits for one part.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers probes. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Ready(Arc<Parts>);

/// What keeps a part from its work just now.
type Look = dyn Fn() -> Option<Check> + Send + Sync;

#[derive(Default)]
struct Parts {
    starting: Mutex<Option<String>>,
    database: Mutex<Option<Database>>,
    broker: Mutex<Option<(Arc<dyn Broker>, bool)>>,
    worker: Mutex<Option<backshift_runtime::Readiness>>,
    others: Mutex<Vec<Arc<Look>>>,
}

fn put<T>(slot: &Mutex<Option<T>>, value: Option<T>) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = value;
}

fn get<T: Clone>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Ready {
    /// Not ready until [`Self::started`].
    pub(crate) fn starting(what: &str) -> Self {
        let ready = Self::default();
        put(&ready.0.starting, Some(what.to_owned()));
        ready
    }

    /// The start is over.
    pub(crate) fn started(&self) {
        put(&self.0.starting, None);
    }

    /// The database must answer.
    pub(crate) fn needs_database(&self, database: &Database) {
        put(&self.0.database, Some(database.clone()));
    }

    /// The broker is named; `vital` = without it the process is not ready.
    pub(crate) fn watches_broker(&self, broker: Arc<dyn Broker>, vital: bool) {
        put(&self.0.broker, Some((broker, vital)));
    }

    /// The pools must consume.
    pub(crate) fn needs_worker(&self, worker: backshift_runtime::Readiness) {
        put(&self.0.worker, Some(worker));
    }

    /// This part must have nothing to say.
    pub(crate) fn needs(&self, part: impl Fn() -> Option<Check> + Send + Sync + 'static) {
        self.0.others.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(part));
    }
}

#[async_trait]
impl Readiness for Ready {
    async fn checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        if let Some(what) = get(&self.0.starting) {
            checks.push(Check::down("start", Cause::Starting, format!("waiting for {what}")));
        }
        if let Some(database) = get(&self.0.database) {
            checks.push(within("database", database.ping(), StoreError::is_transient, true).await);
        }
        if let Some((broker, vital)) = get(&self.0.broker) {
            checks.push(within("broker", broker.ping(), BrokerError::is_transient, vital).await);
        }
        if let Some(worker) = get(&self.0.worker) {
            let report = worker.report();
            checks.push(match report.ready {
                true => Check::ok("worker"),
                false => Check::down("worker", Cause::NotWorking, report.problems.join("; ")),
            });
        }
        let others = self.0.others.lock().unwrap_or_else(PoisonError::into_inner).clone();
        checks.extend(others.iter().filter_map(|look| look()));
        checks
    }
}

/// A transient error is that of a server that is away; any other is its answer.
async fn within<E: std::fmt::Display>(
    name: &'static str,
    ping: impl Future<Output = Result<(), E>>,
    away: impl Fn(&E) -> bool,
    vital: bool,
) -> Check {
    let (cause, problem) = match tokio::time::timeout(PATIENCE, ping).await {
        Ok(Ok(())) => return Check::ok(name),
        Ok(Err(error)) if away(&error) => (Cause::Unreachable, error.to_string()),
        Ok(Err(error)) => (Cause::Refused, error.to_string()),
        Err(_) => (Cause::Timeout, "no answer within 2 s".to_owned()),
    };
    if vital { Check::down(name, cause, problem) } else { Check::degraded(name, cause, problem) }
}
