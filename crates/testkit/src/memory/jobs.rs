//! Looking at single jobs and steering them in the memory store.

use async_trait::async_trait;
use backshift_core::{
    AttemptRecord, JobFilter, JobId, JobRecord, Page, State, StoreError, record::PAYLOAD_SEARCHED,
    store::Jobs,
};

use super::{MemoryStore, row::Row};

/// As the search of the ports: every word must stand somewhere, capital letters are as small ones.
fn says(texts: &[Option<&str>], word: &str) -> bool {
    let texts: Vec<&str> = texts.iter().copied().map(Option::unwrap_or_default).collect();
    texts.join(" ").to_lowercase().contains(&word.to_lowercase())
}

fn holds(job: &JobRecord, word: &str) -> bool {
    let Some(payload) = job.payload.as_deref() else { return false };
    let looked = &payload[..payload.len().min(PAYLOAD_SEARCHED)];
    String::from_utf8_lossy(looked).to_lowercase().contains(&word.to_lowercase())
}

fn tells(job: &JobRecord, filter: &JobFilter) -> bool {
    let said = [job.error.as_deref(), job.reason.as_deref(), job.note.as_deref()];
    let named = [Some(job.kind.as_str()), Some(job.queue.as_str()), said[0], said[1], said[2]];
    filter.error.iter().all(|word| says(&said, word))
        && filter.payload.iter().all(|word| holds(job, word))
        && filter.words.iter().all(|word| says(&named, word) || holds(job, word))
}

pub(super) fn matches(row: &Row, filter: &JobFilter) -> bool {
    let at = row.envelope.created_at;
    filter.state.is_none_or(|state| row.state == state)
        && filter.standing.is_none_or(|standing| row.record().standing() == Some(standing))
        && filter.kind.as_ref().is_none_or(|kind| row.envelope.kind == *kind)
        && filter.queue.as_ref().is_none_or(|queue| row.envelope.queue == *queue)
        && filter.effect.is_none_or(|effect| row.effect == effect)
        && filter.user.is_none_or(|user| row.envelope.user_id == Some(user))
        && filter.since.is_none_or(|since| at >= since)
        && filter.until.is_none_or(|until| at < until)
        && filter.cause.as_ref().is_none_or(|cause| row.fingerprint().as_ref() == Some(cause))
        && tells(&row.record(), filter)
}

fn missing(id: JobId) -> StoreError {
    StoreError::NotFound(format!("job {id}"))
}

#[async_trait]
impl Jobs for MemoryStore {
    async fn find(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.call("store.find", |store| Ok(store.table().rows.get(&id).map(Row::record))).await
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRecord>, StoreError> {
        self.call("store.attempts", |store| {
            let table = store.table();
            let attempts = table.rows.get(&id).map(|row| row.attempts.iter().take(200).cloned().collect());
            Ok(attempts.unwrap_or_default())
        })
        .await
    }

    async fn over(&self, ids: &[JobId]) -> Result<Vec<JobId>, StoreError> {
        self.call("store.over", |store| {
            let table = store.table();
            let over = |id: &&JobId| table.rows.get(id).is_some_and(|row| row.state.is_final());
            Ok(ids.iter().filter(over).copied().collect())
        })
        .await
    }

    async fn list(&self, filter: &JobFilter, page: &Page) -> Result<Vec<JobRecord>, StoreError> {
        self.call("store.list", |store| {
            let table = store.table();
            let key = |row: &Row| (row.envelope.created_at, row.envelope.id);
            let after = match page.after {
                Some(id) => Some(table.rows.get(&id).map(key).ok_or_else(|| missing(id))?),
                None => None,
            };
            let wanted = |row: &&Row| matches(row, filter) && after.is_none_or(|after| key(row) < after);
            let mut rows: Vec<&Row> = table.rows.values().filter(wanted).collect();
            rows.sort_by_key(|row| std::cmp::Reverse(key(row)));
            Ok(rows.into_iter().take(page.limit.min(500) as usize).map(Row::record).collect())
        })
        .await
    }

    async fn cancel(&self, id: JobId) -> Result<State, StoreError> {
        let answer = self
            .call("store.cancel", |store| {
                let (now, mut table) = (store.now(), store.table());
                let row = table.rows.get_mut(&id).ok_or_else(|| missing(id))?;
                match row.state {
                    State::Running => row.cancel_requested = true,
                    state if state.is_final() => {}
                    _ => row.finish(State::Cancelled, now),
                }
                Ok(row.state)
            })
            .await;
        self.wished();
        answer
    }

    async fn retry(&self, id: JobId) -> Result<State, StoreError> {
        let answer = self
            .call("store.retry", |store| {
                let (now, mut table) = (store.now(), store.table());
                let row = table.rows.get_mut(&id).ok_or_else(|| missing(id))?;
                if matches!(row.state, State::Running | State::Available | State::Completed) {
                    return Ok(row.state);
                }
                row.again(now);
                Ok(row.state)
            })
            .await;
        self.arrived().notify_waiters();
        answer
    }
}
