//! Runs a probe: the attempt's row first, then the work, then the effect.
//!
//! Running twice: a second attempt under a later token makes the first one's transaction fail, so the effect is
//! there once; without a store a second run writes a second line, and that is what it shall show.

use std::sync::Arc;

use backshift_core::{Handler, JobContext, JobError, JobResult, Registry};
use backshift_store::{Database, foreign};
use serde_json::json;

use super::{Probe, ProbeLog};

/// The wire name.
pub const KIND: &str = "backshift.probe";

/// Where the effects of probes go.
#[derive(Debug, Clone)]
pub enum ProbeEffects {
    /// Into the probe's tables of the store's database (`migrate up` with the probe).
    Store(Database),
    /// Into a file, without a store.
    File(ProbeLog),
    /// Nowhere: neither a store nor a file is configured.
    Nowhere,
}

/// Handles probes.
#[derive(Debug)]
pub struct ProbeWorker {
    effects: ProbeEffects,
}

impl ProbeWorker {
    /// A worker whose effects go there.
    pub fn new(effects: ProbeEffects) -> Self {
        Self { effects }
    }

    /// Adds `backshift.probe` to the handlers of a worker.
    #[must_use]
    pub fn register(self, registry: Registry) -> Registry {
        registry.with::<Probe>(Arc::new(self)).configure(KIND, |options| options.strict = true)
    }

    async fn run(&self, probe: &Probe, context: &JobContext) -> JobResult {
        if let ProbeEffects::Store(db) = &self.effects {
            write_attempt(db, probe, context).await?;
        }
        probe.work(context).await?;
        match &self.effects {
            ProbeEffects::Store(db) => write_effect(db, probe, context).await,
            ProbeEffects::File(log) => Ok(log.append(line(probe, context)).await?),
            ProbeEffects::Nowhere => Ok(()),
        }
    }
}

impl Handler<Probe> for Arc<ProbeWorker> {
    async fn handle(&self, job: Probe, context: JobContext) -> JobResult {
        self.run(&job, &context).await
    }
}

/// The times are the statement's: the column's default.
const ATTEMPT: &str =
    "INSERT INTO backshift_probe_attempts (job_id, key, attempt, token, worker) VALUES ($1, $2, $3, $4, $5)";
const EFFECT: &str =
    "INSERT INTO backshift_probe_effects (job_id, key, attempt, token, worker) VALUES ($1, $2, $3, $4, $5)";

async fn write_attempt(db: &Database, probe: &Probe, context: &JobContext) -> JobResult {
    bound(db.sql(ATTEMPT), probe, context).run().await?;
    Ok(())
}

/// The effect and the completion commit together or not at all.
async fn write_effect(db: &Database, probe: &Probe, context: &JobContext) -> JobResult {
    let mut tx = db.begin().await?;
    bound(tx.sql(EFFECT), probe, context).run().await?;
    foreign::finish_in(&mut tx, context).await?;
    tx.commit().await.map_err(JobError::from)
}

fn bound<'a>(
    query: backshift_store::Query<'a>,
    probe: &Probe,
    context: &JobContext,
) -> backshift_store::Query<'a> {
    let token = context.lease().map_or(0, |lease| lease.token.0);
    let key = probe.key.replace('\0', "\u{FFFD}");
    query.bind(context.id()).bind(key).bind(context.attempt()).bind(token).bind(context.worker())
}

fn line(probe: &Probe, context: &JobContext) -> String {
    json!({
        "job_id": context.id().to_string(),
        "key": probe.key,
        "attempt": context.attempt(),
        "token": context.lease().map_or(0, |lease| lease.token.0),
        "worker": context.worker().as_str(),
        "at": backshift_core::Timestamp::now().to_string(),
    })
    .to_string()
}
