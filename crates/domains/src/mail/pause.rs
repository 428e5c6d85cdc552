//! The pause of an unusable transport: wrong credentials, TLS missing, our sender refused, or nobody there.
//!
//! One mail finds out, all wait: no job burns an attempt, one probe at a time looks whether it works again, and the
//! pause doubles with each probe that fails. A server that cannot be reached is a circuit breaker's matter: it takes
//! [`UNREACHED`] failures in a row, and the pauses are short, because a server that is back says so at once.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use backshift_core::{
    JobContext, Kind, Timestamp,
    store::{Harm, Trouble, Watched},
};
use backshift_mail::{Class, EmailAddress, Failure, Mailer, Outcome, Stage};
use tokio::time::Instant;

/// So many mails in a row that reach no server open the breaker; each of them has counted as an attempt.
const UNREACHED: u32 = 10;
/// So many in a row are told to the other processes, long before the breaker opens: one mail tries no oftener than its back-off.
const TOLD: u32 = 3;
/// So long after the last of them nothing is known of the server any more: no mail has tried it since.
const KNOWN: Duration = Duration::from_secs(600);
/// The first pause of a server that is not there; the longest is the first one of a transport that refuses us.
const ABSENT: Duration = Duration::from_secs(1);
/// How long a mail keeps its slot during a pause in a queue of mails. Sent back at once, a backlog would go round and round
/// between broker and worker, with a row of the ledger for each start. In a queue that holds other work too it keeps none.
const HOLD: Duration = Duration::from_secs(5);
/// Queues that hold nothing but mails; system C's is the last.
const MAILS_ALONE: [&str; 3] = [super::QUEUE, super::QUEUE_OF_CODES, super::QUEUE_OF_SYSTEM_C];

/// Shared by every job of a process that sends through the same transport.
#[derive(Debug)]
pub struct TransportPause {
    first: Duration,
    cap: Duration,
    state: Mutex<Option<Paused>>,
    /// Mails in a row that reached no server.
    unreached: AtomicU32,
    hindered: Mutex<Hindered>,
    hold: Duration,
}

/// Who met the trouble.
#[derive(Debug, Default)]
struct Hindered {
    /// Kinds of jobs that were held or reached nobody.
    kinds: BTreeSet<Kind>,
    /// What the last mail that reached nobody met, and when.
    said: String,
    last: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Paused {
    until: Instant,
    /// The length of this pause; the next one is twice as long, up to the cap.
    length: Duration,
    cap: Duration,
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
        let (state, unreached) = (Mutex::new(None), AtomicU32::new(0));
        Self { first, cap: cap.max(first), state, unreached, hindered: Mutex::default(), hold: HOLD }
    }

    /// The pause, if there is one: then the process is not ready.
    pub fn view(&self) -> Option<PauseView> {
        self.lock().as_ref().map(|paused| PauseView {
            reason: paused.reason.clone(),
            next_probe: paused.until.saturating_duration_since(Instant::now()),
        })
    }

    /// Waits for the end of a short pause where nobody else wants the slot: `None` = send, `Some(delay)` = come back then.
    pub(super) async fn wait(
        &self,
        context: &JobContext,
        mailer: &dyn Mailer,
        from: &EmailAddress,
    ) -> Option<Duration> {
        let alone = MAILS_ALONE.contains(&context.envelope().queue.as_str());
        let until = Instant::now() + if alone { self.hold } else { Duration::ZERO };
        loop {
            let left = self.ask(mailer, from).await?;
            self.hinders(&context.envelope().kind, None);
            let held = left.min(until.saturating_duration_since(Instant::now()));
            if held.is_zero() || !context.sleep(held).await {
                return Some(left);
            }
        }
    }

    /// Waits for nothing: `None` = send. The one caller that comes after the end of a pause probes first.
    async fn ask(&self, mailer: &dyn Mailer, from: &EmailAddress) -> Option<Duration> {
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

    /// The transport refuses us: begins a pause, or lets one go on; says for how long.
    pub(super) fn begin(&self, reason: &str, kind: &Kind) -> Duration {
        self.hinders(kind, None);
        self.pause(reason, self.first, self.cap)
    }

    /// A mail was not sent. When nobody could be reached for it, and for too many before it: how long to wait without
    /// counting an attempt.
    pub(super) fn failed(&self, failure: &Failure, kind: &Kind) -> Option<Duration> {
        if !is_absence(failure) {
            self.reached();
            return None;
        }
        self.hinders(kind, Some(failure));
        let before = self.unreached.fetch_add(1, Ordering::Relaxed);
        (before >= UNREACHED || self.lock().is_some())
            .then(|| self.pause(&failure.to_string(), ABSENT.min(self.first), self.first))
    }

    /// There is a server.
    pub(super) fn reached(&self) {
        if self.unreached.load(Ordering::Relaxed) > 0 {
            self.unreached.store(0, Ordering::Relaxed);
        }
    }

    fn hinders(&self, kind: &Kind, failure: Option<&Failure>) {
        let mut hindered = self.hindered.lock().unwrap_or_else(PoisonError::into_inner);
        if !hindered.kinds.contains(kind) {
            hindered.kinds.insert(kind.clone());
        }
        if let Some(failure) = failure {
            (hindered.said, hindered.last) = (failure.to_string(), Some(Instant::now()));
        }
    }

    fn pause(&self, reason: &str, first: Duration, cap: Duration) -> Duration {
        let mut state = self.lock();
        let now = Instant::now();
        match &mut *state {
            // Mails that were under way when it began do not make it longer.
            Some(paused) => paused.until.saturating_duration_since(now).max(Duration::from_secs(1)),
            None => {
                tracing::error!(reason, pause_s = first.as_secs_f64(), "the mail transport is paused");
                metrics::gauge!("mail_transport_paused").set(1.0);
                let (until, reason) = (now + first, reason.to_owned());
                *state = Some(Paused { until, length: first, cap, reason, probing: false });
                first
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
            // A probe may take as long as the server may be silent.
            return Turn::Wait((paused.length / 4).max(Duration::from_secs(1)));
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
            self.reached();
            return None;
        };
        // Who answers and refuses us is asked less often than who is away.
        paused.cap = match outcome.failure() {
            Some(failure) if is_absence(failure) => self.first,
            _ => self.cap,
        };
        paused.length = (paused.length * 2).min(paused.cap);
        paused.until = Instant::now() + paused.length;
        paused.reason = outcome.failure().map_or_else(|| outcome.to_string(), |f| f.to_string());
        paused.probing = false;
        tracing::error!(
            reason = paused.reason,
            pause_s = paused.length.as_secs_f64(),
            "the mail transport stays paused"
        );
        Some(paused.length)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Paused>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nobody was there, as opposed to somebody who refused.
fn is_absence(failure: &Failure) -> bool {
    failure.stage == Stage::Connect && matches!(failure.class, Class::Network | Class::Timeout)
}

impl Watched for TransportPause {
    fn trouble(&self, now: Timestamp) -> Option<Trouble> {
        let view = self.view();
        let unreached = self.unreached.load(Ordering::Relaxed);
        let (part, since) = ("mail".to_owned(), now);
        let hindered = self.hindered.lock().unwrap_or_else(PoisonError::into_inner);
        let kinds = hindered.kinds.iter().cloned().collect();
        if let Some(PauseView { reason: said, next_probe }) = view {
            // After its end the pause lasts until a mail comes and probes.
            let next = Some(next_probe).filter(|left| !left.is_zero());
            let next = next.and_then(|left| now.checked_add(left).ok());
            return Some(Trouble { part, said, harm: Harm::Held, since, next, queue: None, kinds });
        }
        let said = hindered.said.clone();
        let fresh = hindered.last.is_some_and(|last| last.elapsed() < KNOWN);
        (unreached >= TOLD && fresh).then_some(Trouble {
            part,
            said,
            harm: Harm::Failing,
            since,
            next: None,
            queue: None,
            kinds,
        })
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
    use backshift_core::{Envelope, Kind, QueueName, WorkerName};
    use backshift_mail::MemoryMailer;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn refused() -> Outcome {
        Outcome::Pause { failure: Failure::new(Stage::Auth, Class::Config, "bad credentials") }
    }

    fn kind() -> Kind {
        Kind::new("email.send").unwrap()
    }

    fn from() -> EmailAddress {
        "noreply@x.io".parse().unwrap()
    }

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_pause_doubles_with_each_failed_probe_and_ends_with_a_good_one() {
        let pause = TransportPause::new(40 * MS, 100 * MS);
        let mailer = MemoryMailer::default();
        assert_eq!(pause.ask(&mailer, &from()).await, None);
        assert_eq!(pause.begin("535 no", &kind()), 40 * MS);
        let end = pause.lock().as_ref().unwrap().until;
        pause.begin("535 no", &kind());
        assert_eq!(pause.lock().as_ref().unwrap().until, end, "a second mail does not lengthen it");
        for length in [80, 100, 100] {
            let left = pause.view().unwrap().next_probe;
            assert!(pause.ask(&mailer, &from()).await.is_some_and(|wait| wait <= left));
            tokio::time::sleep(left).await;
            mailer.tell_probe(refused());
            assert_eq!(pause.ask(&mailer, &from()).await, Some(length * MS));
        }
        tokio::time::sleep(100 * MS).await;
        assert!(pause.view().unwrap().reason.contains("bad credentials"));
        assert_eq!(pause.ask(&mailer, &from()).await, None);
        assert_eq!(pause.view(), None);
        assert!(mailer.messages().is_empty(), "a probe sends nothing");
    }

    fn nobody_there() -> Failure {
        Failure::new(Stage::Connect, Class::Network, "connection refused")
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_not_there_opens_the_breaker_and_one_that_answers_closes_it() {
        let pause = TransportPause::new(40 * MS, 1000 * MS);
        let mailer = MemoryMailer::default();
        for _ in 0..UNREACHED {
            assert_eq!(pause.failed(&nobody_there(), &kind()), None, "counts as an attempt");
        }
        pause.reached();
        for _ in 0..UNREACHED {
            assert_eq!(pause.failed(&nobody_there(), &kind()), None, "a mail between them was taken");
        }
        let busy = Failure::new(Stage::Rcpt, Class::Transient, "450 greylisted");
        assert_eq!(pause.failed(&busy, &kind()), None, "who answers is there");
        for _ in 0..UNREACHED {
            assert_eq!(pause.failed(&nobody_there(), &kind()), None);
        }
        assert_eq!(pause.failed(&nobody_there(), &kind()), Some(40 * MS));
        assert!(pause.failed(&nobody_there(), &kind()).is_some(), "nor does one that was under way count");
        for _ in 0..3 {
            tokio::time::sleep(pause.view().unwrap().next_probe).await;
            mailer.tell_probe(Outcome::Retry { after: None, throttled: false, failure: nobody_there() });
            assert_eq!(pause.ask(&mailer, &from()).await, Some(40 * MS), "never longer than the first pause");
        }
        tokio::time::sleep(40 * MS).await;
        assert_eq!(pause.ask(&mailer, &from()).await, None);
        assert_eq!(pause.failed(&nobody_there(), &kind()), None, "counted anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_keeps_its_slot_for_a_short_pause_only() {
        let mut pause = TransportPause::new(200 * MS, 1000 * MS);
        pause.hold = 50 * MS;
        let (mailer, cancel) = (MemoryMailer::default(), CancellationToken::new());
        let envelope =
            Envelope::new(kind(), QueueName::new("mail").unwrap(), "", backshift_core::Timestamp::UNIX_EPOCH);
        let context = JobContext::new(envelope, WorkerName::new("w").unwrap(), cancel.clone());
        pause.begin("535 no", &kind());
        let begun = Instant::now();
        assert!(pause.wait(&context, &mailer, &from()).await.is_some(), "longer than it may be held");
        assert!((50 * MS..200 * MS).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        pause.hold = 1000 * MS;
        assert_eq!(pause.wait(&context, &mailer, &from()).await, None, "held to the end of the pause");
        pause.begin("535 no", &kind());
        cancel.cancel();
        assert!(pause.wait(&context, &mailer, &from()).await.is_some(), "the worker stops");
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_among_other_work_gives_its_slot_back_at_once() {
        let mut pause = TransportPause::new(Duration::from_secs(300), Duration::from_secs(300));
        let mailer = MemoryMailer::default();
        pause.begin("535 no", &kind());
        for (queue, held) in [
            ("default", false),
            ("critical", false),
            ("mail", true),
            ("identity", true),
            ("smtp_send_email", true),
        ] {
            // What is not held would wait for a minute.
            pause.hold = if held { 50 * MS } else { Duration::from_secs(60) };
            let queue = QueueName::new(queue).unwrap();
            let envelope = Envelope::new(kind(), queue, "", backshift_core::Timestamp::UNIX_EPOCH);
            let context = JobContext::new(envelope, WorkerName::new("w").unwrap(), CancellationToken::new());
            let begun = Instant::now();
            let delay = pause.wait(&context, &mailer, &from()).await.expect("the pause is longer");
            assert_eq!(begun.elapsed() >= 50 * MS && held, held, "{:?}", context.envelope().queue);
            assert!(begun.elapsed() < Duration::from_secs(60));
            let left = pause.view().unwrap().next_probe;
            assert!(delay >= left && left > Duration::from_secs(200), "it comes back with the next probe");
        }
    }

    #[test]
    fn one_job_probes_and_a_dropped_probe_is_somebody_else_s() {
        let pause = TransportPause::new(Duration::ZERO, Duration::ZERO);
        pause.begin("535 no", &kind());
        assert!(matches!(pause.turn(), Turn::Probe));
        assert!(matches!(pause.turn(), Turn::Wait(_)));
        drop(ProbeGuard(&pause));
        assert!(matches!(pause.turn(), Turn::Probe));
    }

    #[tokio::test(start_paused = true)]
    async fn mails_that_reached_nobody_are_old_news_when_none_follows() {
        let pause = TransportPause::new(40 * MS, 1000 * MS);
        let now = Timestamp::UNIX_EPOCH;
        for _ in 0..TOLD {
            pause.failed(&nobody_there(), &kind());
        }
        tokio::time::sleep(KNOWN - MS).await;
        assert_eq!(pause.trouble(now).map(|told| told.harm), Some(Harm::Failing));
        tokio::time::sleep(2 * MS).await;
        assert_eq!(pause.trouble(now), None, "nobody has tried since");
        pause.failed(&nobody_there(), &kind());
        assert_eq!(pause.trouble(now).map(|told| told.harm), Some(Harm::Failing), "one more says it again");
    }

    #[test]
    fn mails_that_reach_nobody_are_told_before_the_breaker_opens_and_forgotten_when_one_is_taken() {
        let pause = TransportPause::new(40 * MS, 1000 * MS);
        let now = Timestamp::UNIX_EPOCH;
        for _ in 1..TOLD {
            pause.failed(&nobody_there(), &kind());
            assert_eq!(pause.trouble(now), None);
        }
        pause.failed(&nobody_there(), &kind());
        let told = pause.trouble(now).unwrap();
        assert_eq!((told.harm, told.kinds), (Harm::Failing, vec![kind()]));
        assert!(told.said.contains("connection refused"), "{}", told.said);
        pause.reached();
        assert_eq!(pause.trouble(now), None);
        let code = Kind::new("identity.code").unwrap();
        pause.begin("535 no", &code);
        let told = pause.trouble(now).unwrap();
        assert_eq!((told.harm, told.said.as_str()), (Harm::Held, "535 no"));
        assert!(told.kinds.contains(&code) && told.next.is_some_and(|at| at > now));
    }
}
