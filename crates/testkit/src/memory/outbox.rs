//! Jobs on their way from the memory store to a foreign broker.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{Accepted, Envelope, JobId, State, StoreError, Token, store::Outbox, wire::STARTED};

use super::{
    MemoryStore,
    row::{Row, later},
};

/// The caller of `accept` publishes within this time; after it the row is the relay's.
const PUBLISH_WITHIN: Duration = Duration::from_secs(10);

#[async_trait]
impl Outbox for MemoryStore {
    async fn accept(&self, broker: &str, batch: Vec<Envelope>) -> Result<Vec<Accepted>, StoreError> {
        self.call("store.accept", |store| {
            let (now, mut table) = (store.now(), store.table());
            let mut accept = |envelope: Envelope| {
                let answer = table.accept(envelope, broker, now);
                if let Accepted::New(id) = answer
                    && let Some(row) = table.rows.get_mut(&id)
                {
                    row.published = false;
                    // Who accepts a job for later does not publish it.
                    row.held_until = (row.state == State::Available).then(|| later(now, PUBLISH_WITHIN));
                }
                answer
            };
            Ok(batch.into_iter().map(&mut accept).collect())
        })
        .await
    }

    async fn take_unpublished(
        &self,
        broker: &str,
        limit: u32,
        hold: Duration,
    ) -> Result<Vec<Envelope>, StoreError> {
        self.call("store.take_unpublished", |store| {
            let (now, mut table) = (store.now(), store.table());
            let waits = |row: &&mut Row| {
                let ended = matches!(row.state, State::Completed | State::Cancelled);
                let open = !row.published && !ended && row.state != State::Running;
                let mine = row.broker == broker && row.run_at <= now;
                open && mine && row.held_until.is_none_or(|until| until <= now)
            };
            let take = |row: &mut Row| {
                row.held_until = Some(later(now, hold));
                row.taken_at = Some(row.token);
                let mut headers = row.envelope.headers.clone();
                if row.token > Token(0) {
                    headers.insert(STARTED.to_owned(), "true".to_owned());
                }
                Envelope { attempt: row.attempt, run_at: None, headers, ..row.envelope.clone() }
            };
            Ok(table.rows.values_mut().filter(waits).take(limit as usize).map(take).collect())
        })
        .await
    }

    async fn mark_published(&self, ids: &[JobId]) -> Result<(), StoreError> {
        self.call("store.mark_published", |store| {
            let mut table = store.table();
            for id in ids {
                // A confirm that comes after the next start says nothing about what was done since.
                if let Some(row) = table.rows.get_mut(id).filter(|row| row.taken_at == Some(row.token)) {
                    row.published = true;
                    if row.state == State::Scheduled {
                        row.state = State::Available;
                    }
                }
            }
            Ok(())
        })
        .await
    }
}
