//! Everything that the memory store remembers, behind one lock. Ordered maps, so that a simulation repeats itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Weak,
};

use backshift_core::{
    Accepted, EffectState, Envelope, JobId, Lease, QueueName, State, Timestamp, UniquePolicy,
    store::WorkerRecord,
    sweep::{HandRecord, SweepRecord},
};

use super::{breakers::Circuit, ledger::Alive, ledger_broker::NAME, limits::Bucket, row::Row};

/// A sweep and its place.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) record: SweepRecord,
    pub(super) after: Option<(Timestamp, JobId)>,
}

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
    /// The start that has the one seat of those that must run alone, while it runs.
    pub(super) alone: Option<Lease>,
    /// What was done by hand, oldest first, and the sweeps that did it.
    pub(super) deeds: Vec<HandRecord>,
    pub(super) sweeps: Vec<Place>,
    /// Effects in "our own database": what handlers committed, doubles included.
    pub(super) committed: Vec<(JobId, String)>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Effect {
    pub(super) state: EffectState,
    pub(super) tries: u32,
    pub(super) receipt: Option<String>,
}

/// Whether this worker could do the job.
pub(super) fn knows(worker: &WorkerRecord, row: &Row) -> bool {
    worker.kinds.contains(&row.envelope.kind) && worker.works(row.envelope.queue.as_str())
}

impl Table {
    /// Takes in a running job of a foreign broker.
    pub(super) fn park(&mut self, lease: &Lease, now: Timestamp) -> bool {
        let Some(row) = self.rows.get(&lease.job).filter(|row| row.broker != NAME) else { return false };
        let alive = self.workers.values().filter(|(_, sign)| sign.strong_count() > 0);
        let known = alive.map(|(worker, _)| worker).any(|worker| knows(worker, row));
        self.rows.get_mut(&lease.job).is_some_and(|row| row.park(lease, known, now))
    }

    /// Whether nobody has the seat of those that must run alone.
    pub(super) fn seat_is_free(&self) -> bool {
        let sits = |lease: Lease| self.rows.get(&lease.job).is_some_and(|row| row.is_held_by(&lease));
        !self.alone.is_some_and(sits)
    }

    pub(super) fn take_seat(&mut self, lease: &Lease) -> bool {
        let free = self.seat_is_free();
        if free {
            self.alone = Some(*lease);
        }
        free
    }

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
