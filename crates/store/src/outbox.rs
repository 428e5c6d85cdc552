//! Jobs that are durable here and still have to reach a foreign broker.
//!
//! A row that is due at once is published by whoever accepted it; the relay takes it only when that did not
//! happen within its hold. A dead row whose message was handed over is published once more: its next delivery is answered
//! *over*, and so becomes the broker's own dead letter.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{Accepted, Envelope, JobId, StoreError, Token, store::Outbox, wire::STARTED};

use crate::{
    Column, FromRow, Row, Sql, SqlStore,
    ledger::{self, entry::micros, job_row::EnvelopeRow, large::large},
};

macro_rules! due {
    ($unpublished:literal, $us:literal) => {
        concat!(
            $unpublished,
            " AND run_at <= (SELECT clock_timestamp()) \
             AND (publish_hold_until <= (SELECT clock_timestamp()) OR (publish_hold_until IS NULL \
             AND (run_at > created_at OR created_at <= (SELECT clock_timestamp()) - $3",
            $us,
            "))) \
             ORDER BY run_at LIMIT $2"
        )
    };
}

/// `$1` broker, `$2` at most, `$3` hold in microseconds.
pub(crate) const TAKE: Sql = Sql {
    pg: concat!(
        "WITH due AS MATERIALIZED (SELECT id AS due_id FROM background_jobs WHERE ",
        due!("unpublished = $1", " * interval '1 microsecond'"),
        " FOR UPDATE SKIP LOCKED) \
         UPDATE background_jobs SET publish_hold_until = clock_timestamp() + $3 * interval '1 microsecond', \
         publish_token = token, status = CASE WHEN status = 'dead' THEN status ELSE 'available' END, updated_at = clock_timestamp() FROM due WHERE id = due_id \
         RETURNING id, job_type, queue, payload, headers, failures, max_attempts, priority, run_at, unique_key, \
         unique_policy, idempotency_key, user_id, created_at, token"
    ),
    sqlite: concat!(
        "UPDATE background_jobs SET publish_hold_until = clock_timestamp() + $3, publish_token = token, \
         status = CASE WHEN status = 'dead' THEN status ELSE 'available' END, \
         updated_at = clock_timestamp() WHERE rowid IN (SELECT rowid FROM background_jobs WHERE ",
        due!(
            "status IN ('scheduled', 'available', 'retrying', 'dead') AND published_at IS NULL AND broker <> 'embedded' \
             AND broker = $1",
            ""
        ),
        ") RETURNING id, job_type, queue, payload, headers, failures, max_attempts, priority, run_at, unique_key, \
         unique_policy, idempotency_key, user_id, created_at, token"
    ),
};

/// The broker keeps the message from here on: a sensitive or large payload is not kept twice. A job that was started since
/// it was taken, and parked or retried by a person, waits for its next publish: this confirm is not of that one. One that runs
/// and was handed over since is the ledger's.
pub(crate) const MARK: Sql = Sql {
    pg: concat!(
        "UPDATE background_jobs SET \
         published_at = CASE WHEN token = COALESCE(publish_token, 0) \
         THEN COALESCE(published_at, clock_timestamp()) ELSE published_at END, \
         publish_hold_until = CASE WHEN token <> COALESCE(publish_token, 0) THEN publish_hold_until END, \
         unpublished = CASE WHEN token <> COALESCE(publish_token, 0) THEN unpublished END, \
         updated_at = clock_timestamp(), \
         payload = CASE WHEN sensitive OR (",
        large!(""),
        " AND token = COALESCE(publish_token, 0)) \
         THEN NULL ELSE payload END \
         WHERE id = ANY($1::uuid[]) AND broker <> 'postgres' AND NOT (status = 'running' AND published_at IS NULL)"
    ),
    sqlite: concat!(
        "UPDATE background_jobs SET \
             published_at = CASE WHEN token = COALESCE(publish_token, 0) \
             THEN COALESCE(published_at, clock_timestamp()) ELSE published_at END, \
             publish_hold_until = CASE WHEN token <> COALESCE(publish_token, 0) THEN publish_hold_until END, \
             updated_at = clock_timestamp(), \
             payload = CASE WHEN sensitive OR (",
        large!(""),
        " AND token = COALESCE(publish_token, 0)) \
         THEN NULL ELSE payload END \
             WHERE id = $1 AND broker <> 'embedded' AND NOT (status = 'running' AND published_at IS NULL)"
    ),
};

pub(crate) const STATEMENTS: &[Sql] = &[TAKE, MARK];

#[async_trait]
impl Outbox for SqlStore {
    async fn accept(&self, broker: &str, batch: Vec<Envelope>) -> Result<Vec<Accepted>, StoreError> {
        ledger::enqueue(self.database(), broker, batch).await.into_iter().collect()
    }

    async fn take_unpublished(
        &self,
        broker: &str,
        limit: u32,
        hold: Duration,
    ) -> Result<Vec<Envelope>, StoreError> {
        let query = self.database().sql(TAKE).bind(broker).bind(limit).bind(micros(hold));
        let mut taken: Vec<Envelope> = query.all::<TakenRow>().await?.into_iter().map(|row| row.0).collect();
        taken.sort_by_key(|envelope| (envelope.run_at.unwrap_or(envelope.created_at), envelope.id));
        Ok(taken)
    }

    async fn mark_published(&self, ids: &[JobId]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.database().sql(MARK).column(Column::from(ids.to_vec())).run().await.map(drop)
    }
}

/// A job that somebody lets run again was published before: it is marked, so that its queue alone gets it.
struct TakenRow(Envelope);

impl FromRow for TakenRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let EnvelopeRow(mut envelope) = EnvelopeRow::from_row(row)?;
        if row.at::<Token>(14)? > Token(0) {
            envelope.headers.insert(STARTED.to_owned(), "true".to_owned());
        }
        Ok(Self(envelope))
    }
}
