//! The pause of an unusable transport: wrong credentials, TLS missing, our sender refused.
//!
//! One mail finds out, all wait: no job burns an attempt, one probe at a time looks whether it works again, and the
//! pause doubles with each probe that fails.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backshift_mail::{EmailAddress, Mailer, Outcome};
use tokio::time::Instant;

/// Shared by every job of a process that sends through the same transport.
#[derive(Debug)]
pub struct TransportPause {
    first: Duration,
    cap: Duration,
    state: Mutex<Option<Paused>>,
}

#[derive(Debug, Clone)]
struct Paused {
    until: Instant,
    /// The length of this pause; the next one is twice as long.
    length: Duration,
    reason: String,
    probing: bool,
}

/// A pause as shown to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseView {
    /// What the server said, masked.
    pub reason: String,
    /// How long until the next probe.
    pub next_probe: Duration,
}

impl TransportPause {
    /// Not paused; a pause begins with `first` and doubles up to `cap`.
    pub fn new(first: Duration, cap: Duration) -> Self {
        metrics::gauge!("mail_transport_paused").set(0.0);
        Self { first, cap: cap.max(first), state: Mutex::new(None) }
    }

    /// The pause, if there is one: then the process is not ready.
    pub fn view(&self) -> Option<PauseView> {
        self.lock().as_ref().map(|paused| PauseView {
            reason: paused.reason.clone(),
            next_probe: paused.until.saturating_duration_since(Instant::now()),
        })
    }

    /// Waits for nothing: `None` = send, `Some(delay)` = come back then. The one caller that comes after the end of a
    /// pause probes first.
    pub(super) async fn wait(&self, mailer: &dyn Mailer, from: &EmailAddress) -> Option<Duration> {
        match self.turn() {
            Turn::Send => None,
            Turn::Wait(delay) => Some(delay),
            Turn::Probe => {
                let _guard = ProbeGuard(self);
                let result = mailer.probe(from).await;
                self.probed(result)
            }
        }
    }

    /// Begins a pause, or lets one go on; says for how long.
    pub(super) fn begin(&self, reason: &str) -> Duration {
        let mut state = self.lock();
        let now = Instant::now();
        match &mut *state {
            // Mails that were under way when it began do not make it longer.
            Some(paused) => paused.until.saturating_duration_since(now).max(Duration::from_secs(1)),
            None => {
                tracing::error!(reason, pause_s = self.first.as_secs(), "the mail transport is paused");
                metrics::gauge!("mail_transport_paused").set(1.0);
                let until = now + self.first;
                *state =
                    Some(Paused { until, length: self.first, reason: reason.to_owned(), probing: false });
                self.first
            }
        }
    }

    fn turn(&self) -> Turn {
        let mut state = self.lock();
        let Some(paused) = &mut *state else { return Turn::Send };
        let left = paused.until.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return Turn::Wait(left);
        }
        if paused.probing {
            return Turn::Wait(Duration::from_secs(1));
        }
        paused.probing = true;
        Turn::Probe
    }

    fn probed(&self, result: Result<(), Outcome>) -> Option<Duration> {
        let mut state = self.lock();
        let paused = state.as_mut()?;
        let Err(outcome) = result else {
            tracing::info!("the mail transport works again");
            metrics::gauge!("mail_transport_paused").set(0.0);
            *state = None;
            return None;
        };
        paused.length = (paused.length * 2).min(self.cap);
        paused.until = Instant::now() + paused.length;
        paused.reason = outcome.failure().map_or_else(|| outcome.to_string(), |f| f.to_string());
        paused.probing = false;
        tracing::error!(
            reason = paused.reason,
            pause_s = paused.length.as_secs(),
            "the mail transport stays paused"
        );
        Some(paused.length)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Paused>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Turn {
    Send,
    Wait(Duration),
    Probe,
}

/// Gives the right to probe back when the probing job is dropped half-way.
struct ProbeGuard<'a>(&'a TransportPause);

impl Drop for ProbeGuard<'_> {
    fn drop(&mut self) {
        if let Some(paused) = &mut *self.0.lock() {
            paused.probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use backshift_mail::{Class, Failure, MemoryMailer, Stage};

    use super::*;

    fn refused() -> Outcome {
        Outcome::Pause { failure: Failure::new(Stage::Auth, Class::Config, "bad credentials") }
    }

    fn from() -> EmailAddress {
        "noreply@x.io".parse().unwrap()
    }

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn a_pause_doubles_with_each_failed_probe_and_ends_with_a_good_one() {
        let pause = TransportPause::new(40 * MS, 100 * MS);
        let mailer = MemoryMailer::default();
        assert_eq!(pause.wait(&mailer, &from()).await, None);
        assert_eq!(pause.begin("535 no"), 40 * MS);
        let end = pause.lock().as_ref().unwrap().until;
        pause.begin("535 no");
        assert_eq!(pause.lock().as_ref().unwrap().until, end, "a second mail does not lengthen it");
        for length in [80, 100, 100] {
            let left = pause.view().unwrap().next_probe;
            assert!(pause.wait(&mailer, &from()).await.is_some_and(|wait| wait <= left));
            tokio::time::sleep(left).await;
            mailer.tell_probe(refused());
            assert_eq!(pause.wait(&mailer, &from()).await, Some(length * MS));
        }
        tokio::time::sleep(100 * MS).await;
        assert!(pause.view().unwrap().reason.contains("bad credentials"));
        assert_eq!(pause.wait(&mailer, &from()).await, None);
        assert_eq!(pause.view(), None);
        assert!(mailer.messages().is_empty(), "a probe sends nothing");
    }

    #[test]
    fn one_job_probes_and_a_dropped_probe_is_somebody_else_s() {
        let pause = TransportPause::new(Duration::ZERO, Duration::ZERO);
        pause.begin("535 no");
        assert!(matches!(pause.turn(), Turn::Probe));
        assert!(matches!(pause.turn(), Turn::Wait(_)));
        drop(ProbeGuard(&pause));
        assert!(matches!(pause.turn(), Turn::Probe));
    }
}
