//! Circuit breakers in the memory store: closed, open with doubling time, half open with one probe.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{
    StoreError, Timestamp,
    store::{Admission, BreakerPolicy, BreakerRecord, Breakers},
};

use super::{MemoryStore, row::later};

/// A probe is handed to one caller for at most this long.
const PROBE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Default)]
pub(super) struct Circuit {
    failures: u32,
    /// How often it opened in a row; 0 = closed.
    openings: u32,
    open_until: Option<Timestamp>,
    probe_until: Option<Timestamp>,
    error: Option<String>,
}

impl Circuit {
    fn admit(&mut self, now: Timestamp) -> Admission {
        let wait = |until: Timestamp| Duration::try_from(until.duration_since(now)).unwrap_or_default();
        match (self.open_until, self.probe_until) {
            (None, _) => Admission::Go,
            (Some(until), _) if until > now => Admission::Wait(wait(until)),
            (Some(_), Some(probe)) if probe > now => Admission::Wait(wait(probe)),
            (Some(_), _) => {
                self.probe_until = Some(later(now, PROBE));
                Admission::Probe
            }
        }
    }

    fn report(&mut self, policy: BreakerPolicy, result: Result<(), String>, now: Timestamp) {
        let Err(error) = result else {
            *self = Self::default();
            return;
        };
        self.failures += 1;
        self.error = Some(error);
        let was_probe = self.probe_until.take().is_some();
        if was_probe || (self.open_until.is_none() && self.failures >= policy.failures) {
            let doubled = policy.open_for.saturating_mul(1 << self.openings.min(16));
            self.openings += 1;
            self.open_until = Some(later(now, doubled.min(policy.open_at_most)));
        }
    }

    fn state(&self, now: Timestamp) -> &'static str {
        match self.open_until {
            None => "closed",
            Some(until) if until > now => "open",
            Some(_) => "half-open",
        }
    }
}

#[async_trait]
impl Breakers for MemoryStore {
    async fn admit(&self, name: &str) -> Result<Admission, StoreError> {
        self.call("store.admit", |store| {
            let now = store.now();
            Ok(store.table().circuits.entry(name.to_owned()).or_default().admit(now))
        })
        .await
    }

    async fn report(
        &self,
        name: &str,
        policy: BreakerPolicy,
        result: Result<(), String>,
    ) -> Result<(), StoreError> {
        self.call("store.report", |store| {
            let now = store.now();
            store.table().circuits.entry(name.to_owned()).or_default().report(policy, result, now);
            Ok(())
        })
        .await
    }

    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError> {
        self.call("store.breakers", |store| {
            let (now, table) = (store.now(), store.table());
            let show = |(name, circuit): (&String, &Circuit)| BreakerRecord {
                name: name.clone(),
                state: circuit.state(now).to_owned(),
                failures: circuit.failures,
                open_until: circuit.open_until,
                error: circuit.error.clone(),
            };
            Ok(table.circuits.iter().map(show).collect())
        })
        .await
    }
}
