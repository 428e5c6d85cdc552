//! Everything that the memory store remembers, behind one lock. Ordered maps, so that a simulation repeats itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Weak,
};

use backshift_core::{
    Accepted, EffectState, Envelope, JobId, QueueName, State, Timestamp, UniquePolicy, store::WorkerRecord,
};

use super::{breakers::Circuit, ledger::Alive, limits::Bucket, row::Row};

#[derive(Default)]
pub(super) struct Table {
    pub(super) rows: BTreeMap<JobId, Row>,
    pub(super) paused: BTreeSet<QueueName>,
    pub(super) schedules: BTreeMap<String, Timestamp>,
    pub(super) buckets: BTreeMap<String, Bucket>,
    pub(super) places: BTreeMap<String, BTreeMap<JobId, Timestamp>>,
    pub(super) circuits: BTreeMap<String, Circuit>,
    pub(super) effects: BTreeMap<(JobId, String), Effect>,
    pub(super) workers: BTreeMap<String, (WorkerRecord, Weak<Alive>)>,
    /// Effects in "our own database": what handlers committed, doubles included.
    pub(super) committed: Vec<(JobId, String)>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Effect {
    pub(super) state: EffectState,
    pub(super) tries: u32,
    pub(super) receipt: Option<String>,
}

impl Table {
    /// Accepts one job for a broker: known ids and keys first, then the unique key.
    pub(super) fn accept(&mut self, envelope: Envelope, broker: &str, now: Timestamp) -> Accepted {
        if let Some(known) = self.known(&envelope) {
            return known;
        }
        if let Some(held) = self.resolve_unique(&envelope, now) {
            return held;
        }
        let id = envelope.id;
        self.rows.insert(id, Row::new(envelope, broker, now));
        Accepted::New(id)
    }

    /// Until when a job has to wait for the one whose unique key it took over.
    pub(super) fn waits_for(&self, row: &Row, now: Timestamp) -> Option<Timestamp> {
        let key = &row.envelope.unique.as_ref()?.key;
        let before = self.rows.values().filter(|other| other.superseded && other.state == State::Running);
        let same = |other: &&Row| other.envelope.unique.as_ref().is_some_and(|unique| unique.key == *key);
        before.filter(same).filter_map(|other| other.lease_until).filter(|until| *until > now).max()
    }

    fn known(&self, envelope: &Envelope) -> Option<Accepted> {
        let by_key = |row: &&Row| {
            envelope.idempotency_key.is_some() && row.envelope.idempotency_key == envelope.idempotency_key
        };
        let row = self.rows.get(&envelope.id).or_else(|| self.rows.values().find(by_key))?;
        let same_payload = row.envelope.payload == envelope.payload;
        Some(Accepted::Known { id: row.envelope.id, same_payload })
    }

    fn resolve_unique(&mut self, envelope: &Envelope, now: Timestamp) -> Option<Accepted> {
        let unique = envelope.unique.as_ref()?;
        let holds = |row: &&mut Row| row.is_seated(&unique.key);
        let mut holders: Vec<&mut Row> = self.rows.values_mut().filter(holds).collect();
        let running = holders.iter().position(|row| row.state == State::Running);
        match unique.policy {
            UniquePolicy::Reject => holders.first().map(|row| Accepted::Unique(row.envelope.id)),
            UniquePolicy::Replace => {
                if let Some(at) = running {
                    return Some(Accepted::Unique(holders[at].envelope.id));
                }
                let row = holders.pop()?;
                row.envelope.payload = envelope.payload.clone();
                row.envelope.priority = envelope.priority;
                row.run_at = envelope.run_at.unwrap_or(now).max(now);
                row.state = if row.run_at > now { State::Scheduled } else { State::Available };
                Some(Accepted::Unique(row.envelope.id))
            }
            UniquePolicy::KeepLast => {
                for row in holders {
                    match row.state {
                        State::Running => row.superseded = true,
                        _ => row.finish(State::Cancelled, now),
                    }
                }
                None
            }
        }
    }
}
