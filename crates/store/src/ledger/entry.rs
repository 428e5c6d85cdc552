//! A job as it is about to become a row: checked, measured, hashed.
//!
//! The hash is of the payload as sent; it answers "the same payload?" after the payload itself is gone.

use backshift_core::{
    Accepted, Bytes, Envelope, JobId, StoreError, Timestamp, UniqueKey, UniquePolicy, store::Holder,
};
use sha2::{Digest, Sha256};

use super::large::most_kept;
use crate::{Column, Value};

/// The largest payload of a job, in bytes: what a foreign broker may bring (docs/contracts/system-c.md, AMQP).
pub const MAX_STORED_PAYLOAD: usize = 16 * 1024 * 1024;
/// The largest payload that is kept of a job whose broker keeps the payload itself.
pub const MAX_FOREIGN_PAYLOAD: usize = most_kept!();

/// One row to be.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) envelope: Envelope,
    pub(crate) hash: Bytes,
    pub(crate) headers: Option<String>,
}

impl Entry {
    /// Checks what the database could not store.
    pub(crate) fn new(envelope: Envelope) -> Result<Self, StoreError> {
        let size = envelope.payload.len();
        if size > MAX_STORED_PAYLOAD {
            return Err(StoreError::Rejected(format!(
                "the payload has {size} bytes, {MAX_STORED_PAYLOAD} are possible: put large data elsewhere and its id here"
            )));
        }
        let unique = envelope.unique.as_ref().map(|unique| &unique.key);
        for key in [unique, envelope.idempotency_key.as_ref()].into_iter().flatten() {
            if key.is_empty() || key.len() > 255 || key.contains('\0') {
                return Err(StoreError::Rejected(format!("key {key:?} must have 1 to 255 bytes and no NUL")));
            }
        }
        Ok(Self { hash: hash(&envelope.payload), headers: headers(&envelope), envelope })
    }

    /// A delivery of a foreign broker; its keys were checked when it was accepted, so they are not looked at again.
    pub(crate) fn delivered(envelope: Envelope) -> Self {
        Self { hash: hash(&envelope.payload), headers: headers(&envelope), envelope }
    }

    pub(crate) fn id(&self) -> JobId {
        self.envelope.id
    }

    /// What a repeated enqueue of this job is told about the first one.
    pub(crate) fn known(&self, id: JobId, first: Option<&Bytes>) -> Accepted {
        Accepted::Known { id, same_payload: first.is_none_or(|hash| *hash == self.hash) }
    }

    /// The values of a replaced job, in the order of `unique::REPLACE` from `$2`.
    pub(crate) fn replacement(&self) -> Vec<Value> {
        let e = &self.envelope;
        vec![
            e.payload.clone().into(),
            self.hash.clone().into(),
            (e.payload.len() as i64).into(),
            self.headers.clone().into(),
            e.is_sensitive().into(),
            e.priority.into(),
            e.max_attempts.map(bounded).into(),
            e.run_at.into(),
            e.user_id.into(),
        ]
    }
}

/// SHA-256 of a payload.
pub(crate) fn hash(payload: &Bytes) -> Bytes {
    Bytes::copy_from_slice(&Sha256::digest(payload))
}

fn headers(envelope: &Envelope) -> Option<String> {
    if envelope.headers.is_empty() {
        return None;
    }
    serde_json::to_string(&envelope.headers).ok()
}

/// A count that fits the column.
pub(crate) fn bounded(count: u32) -> i64 {
    count.min(i32::MAX as u32).into()
}

/// Failures that an envelope stands for: its attempt is 1 + failures.
pub(crate) fn failures(envelope: &Envelope) -> i64 {
    bounded(envelope.attempt.saturating_sub(1))
}

/// What the ledger may keep of a payload that a foreign broker moves.
pub(crate) fn kept_abroad(envelope: &Envelope) -> Option<Bytes> {
    let keep = envelope.may_be_kept() && envelope.payload.len() <= MAX_FOREIGN_PAYLOAD;
    keep.then(|| envelope.payload.clone())
}

/// The name of a policy in the database.
pub(crate) fn policy(unique: &UniqueKey) -> &'static str {
    unique.policy.as_str()
}

/// Reads a unique key back.
pub(crate) fn unique_key(key: Option<String>, policy: Option<String>) -> Option<UniqueKey> {
    let policy = policy.and_then(|text| text.parse::<UniquePolicy>().ok()).unwrap_or_default();
    key.map(|key| UniqueKey { key, policy })
}

/// The columns of `ENQUEUE`, from `$2`.
pub(crate) fn columns(entries: &[&Entry]) -> Vec<Column> {
    let each = |of: fn(&Entry) -> Option<String>| Column::Texts(entries.iter().map(|e| of(e)).collect());
    let ints = |of: fn(&Entry) -> Option<i64>| Column::Ints(entries.iter().map(|e| of(e)).collect());
    vec![
        Column::Uuids(entries.iter().map(|e| Some(e.envelope.id.0)).collect()),
        Column::Uuids(entries.iter().map(|e| e.envelope.user_id).collect()),
        each(|e| Some(e.envelope.kind.as_str().to_owned())),
        each(|e| Some(e.envelope.queue.as_str().to_owned())),
        Column::Bytes(entries.iter().map(|e| Some(e.envelope.payload.clone())).collect()),
        Column::Bytes(entries.iter().map(|e| Some(e.hash.clone())).collect()),
        ints(|e| Some(e.envelope.payload.len() as i64)),
        each(|e| e.headers.clone()),
        Column::Bools(entries.iter().map(|e| Some(e.envelope.is_sensitive())).collect()),
        ints(|e| Some(e.envelope.priority.into())),
        ints(|e| e.envelope.max_attempts.map(bounded)),
        ints(|e| Some(failures(&e.envelope))),
        Column::Times(entries.iter().map(|e| e.envelope.run_at).collect()),
        each(|e| e.envelope.unique.as_ref().map(|unique| unique.key.clone())),
        each(|e| e.envelope.unique.as_ref().map(|unique| policy(unique).to_owned())),
        each(|e| e.envelope.idempotency_key.clone()),
        Column::Ints((0..entries.len()).map(|n| Some(n as i64)).collect()),
    ]
}

/// The columns of a first claim of foreign deliveries, from `$3`.
pub(crate) fn foreign_columns(entries: &[(&Entry, &'static str, bool)]) -> Vec<Column> {
    let plain: Vec<&Entry> = entries.iter().map(|(entry, ..)| *entry).collect();
    let texts = |of: fn(&Entry) -> Option<String>| Column::Texts(plain.iter().map(|e| of(e)).collect());
    vec![
        Column::Uuids(plain.iter().map(|e| Some(e.envelope.id.0)).collect()),
        Column::Uuids(plain.iter().map(|e| e.envelope.user_id).collect()),
        texts(|e| Some(e.envelope.kind.as_str().to_owned())),
        texts(|e| Some(e.envelope.queue.as_str().to_owned())),
        Column::Texts(entries.iter().map(|(_, broker, _)| Some((*broker).to_owned())).collect()),
        Column::Bytes(plain.iter().map(|e| kept_abroad(&e.envelope)).collect()),
        Column::Bytes(plain.iter().map(|e| Some(e.hash.clone())).collect()),
        Column::Ints(plain.iter().map(|e| Some(e.envelope.payload.len() as i64)).collect()),
        texts(|e| e.headers.clone()),
        Column::Bools(plain.iter().map(|e| Some(e.envelope.is_sensitive())).collect()),
        Column::Ints(plain.iter().map(|e| Some(e.envelope.priority.into())).collect()),
        Column::Ints(plain.iter().map(|e| e.envelope.max_attempts.map(bounded)).collect()),
        Column::Ints(plain.iter().map(|e| Some(failures(&e.envelope))).collect()),
        Column::Bools(entries.iter().map(|(.., anonymous)| Some(*anonymous)).collect()),
    ]
}

/// A lease's length in microseconds.
pub(crate) fn lease_us(holder: &Holder) -> i64 {
    micros(holder.lease)
}

/// A duration in microseconds, at most about a hundred years so that adding it to a time stays possible.
pub(crate) fn micros(time: std::time::Duration) -> i64 {
    const LONGEST: u64 = 100 * 366 * 86_400 * 1_000_000;
    u64::try_from(time.as_micros()).unwrap_or(LONGEST).min(LONGEST) as i64
}

/// The time between two times; nothing when `later` is not later.
pub(crate) fn between(earlier: Timestamp, later: Timestamp) -> std::time::Duration {
    let us = later.as_microsecond().saturating_sub(earlier.as_microsecond());
    std::time::Duration::from_micros(u64::try_from(us).unwrap_or(0))
}
