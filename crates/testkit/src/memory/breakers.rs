//! Circuit breakers in the memory store: closed, open with doubling time, half open with one probe, returning by steps.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{
    StoreError, Timestamp,
    store::{Admission, BreakerPolicy, BreakerRecord, Breakers},
};

use super::{MemoryStore, row::later};

/// A probe is handed to one caller for at most this long.
const PROBE: Duration = Duration::from_secs(60);
/// An interval of the return, and its widest step.
const INTERVAL: Duration = Duration::from_secs(1);
const WIDEST: u32 = 64;

#[derive(Debug, Clone, Default)]
pub(super) struct Circuit {
    failures: u32,
    /// How often it opened in a row; 0 = closed.
    openings: u32,
    open_until: Option<Timestamp>,
    /// Since when it is not closed.
    since: Option<Timestamp>,
    probe_until: Option<Timestamp>,
    /// After a probe that succeeded.
    returning: Option<Return>,
    error: Option<String>,
}

/// So many calls in this interval, and twice as many in the next one.
#[derive(Debug, Clone)]
struct Return {
    step: u32,
    until: Timestamp,
    admitted: u32,
    succeeded: u32,
}

impl Circuit {
    fn admit(&mut self, now: Timestamp) -> Admission {
        let wait = |until: Timestamp| Duration::try_from(until.duration_since(now)).unwrap_or_default();
        if let Some(back) = &mut self.returning {
            let over = back.until <= now;
            if over && back.step >= WIDEST && back.succeeded > 0 {
                *self = Self::default();
                return Admission::Go;
            }
            if over && (back.succeeded > 0 || later(back.until, PROBE) <= now) {
                let step = if back.succeeded > 0 { back.step * 2 } else { back.step };
                *back = Return { step, until: later(now, INTERVAL), admitted: 0, succeeded: 0 };
            }
            if back.until > now && back.admitted < back.step {
                back.admitted += 1;
                return Admission::Probe;
            }
            return Admission::Wait(wait(back.until).max(INTERVAL / 10));
        }
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
            match (&mut self.returning, self.open_until) {
                (Some(back), _) => back.succeeded += 1,
                (None, None) => *self = Self::default(),
                (None, Some(until)) if until <= now => {
                    let until = later(now, INTERVAL);
                    self.returning = Some(Return { step: 2, until, admitted: 0, succeeded: 1 });
                    (self.open_until, self.probe_until) = (None, None);
                }
                // A call from before it opened.
                (None, Some(_)) => {}
            }
            return;
        };
        self.failures += 1;
        self.error = Some(error);
        let was_probe = self.probe_until.take().is_some() || self.returning.take().is_some();
        if was_probe || (self.open_until.is_none() && self.failures >= policy.failures) {
            let doubled = policy.open_for.saturating_mul(1 << self.openings.min(16));
            self.openings += 1;
            self.since = self.since.or(Some(now));
            self.open_until = Some(later(now, doubled.min(policy.open_at_most)));
        }
    }

    fn state(&self, now: Timestamp) -> &'static str {
        match self.open_until {
            None if self.returning.is_some() => "returning",
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
                returning: circuit.returning.as_ref().map(|back| back.step),
                failures: circuit.failures,
                since: circuit.since,
                open_until: circuit.open_until,
                error: circuit.error.clone(),
            };
            Ok(table.circuits.iter().map(show).collect())
        })
        .await
    }
}
