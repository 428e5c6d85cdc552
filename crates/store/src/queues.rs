//! Queues as a whole: which are paused, what is next in them, what is parked. How many jobs stand where is counted in
//! [`counts`](crate::counts).

use std::{collections::BTreeMap, time::Instant};

use async_trait::async_trait;
use backshift_core::{
    Kind, QueueCounts, QueueName, StoreError,
    store::{Hints, ParkedKind, Queues},
};

use crate::ledger::both::same;
use crate::{
    Executor, Sql, SqlStore, counts,
    ledger::{enqueue::DECLARED, kinds, strangers},
};

pub(crate) const PAUSE: &str = "INSERT INTO job_queues (name, paused) VALUES ($1, $2) \
     ON CONFLICT (name) DO UPDATE SET paused = excluded.paused WHERE job_queues.paused <> excluded.paused";
pub(crate) const IS_PAUSED: &str = "SELECT paused FROM job_queues WHERE name = $1";
pub(crate) const PAUSED: &str = "SELECT name FROM job_queues WHERE paused ORDER BY name";

pub(crate) const STATEMENTS: &[Sql] = &[same(PAUSE), same(IS_PAUSED), same(PAUSED), same(DECLARED)];

#[async_trait]
impl Queues for SqlStore {
    async fn counts(&self) -> Result<Vec<QueueCounts>, StoreError> {
        if let Some(counts) = self.tally.fresh() {
            return Ok(counts);
        }
        let began = Instant::now();
        let counts = counts::count(self.database()).await?;
        self.tally.keep(began, &counts);
        Ok(counts)
    }

    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<bool, StoreError> {
        let changed = turned(self.database(), queue, paused).await?;
        self.tally.forget();
        if changed {
            self.bell.wish().await;
        }
        Ok(changed)
    }

    async fn paused(&self) -> Result<Vec<QueueName>, StoreError> {
        let names = self.database().sql(PAUSED).all::<String>().await?;
        Ok(names.iter().filter_map(|name| QueueName::new(name).ok()).collect())
    }

    async fn parked(&self) -> Result<Vec<ParkedKind>, StoreError> {
        strangers::parked(self.database()).await
    }

    async fn next_kinds(&self, queues: &[QueueName]) -> Result<BTreeMap<QueueName, Vec<Kind>>, StoreError> {
        kinds::next(self.database(), queues).await
    }

    fn wishes(&self) -> Box<dyn Hints> {
        Box::new(self.bell.wishes())
    }
}

/// Pauses or resumes; whether that changed anything.
pub(crate) async fn turned(on: &impl Executor, queue: &QueueName, paused: bool) -> Result<bool, StoreError> {
    if !paused && on.sql(IS_PAUSED).bind(queue).optional::<bool>().await? != Some(true) {
        return Ok(false);
    }
    Ok(on.sql(PAUSE).bind(queue).bind(paused).run().await? == 1)
}
