//! One running attempt, as executor, heartbeater, settler and supervisor see it together.
//!
//! Whoever takes the receipt settles; everybody later finds it gone. While it is on loan (an extension, a
//! hand-over), the settlement waits in its place. When the connection under a receipt is cut, the broker delivers the same message
//! again: the attempt goes on with that receipt, and no second one begins. The delivery of a long attempt is let go while it
//! runs (`handover`): then there is no receipt, and only the ledger hears of its end.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use backshift_core::{
    Envelope, JobContext, JobId, Lease, Moment, Receipt, Settlement,
    broker::{OccupiedSlot, Tie},
    store::Start,
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{lonely::Pass, outcome::Stop};

/// What an attempt occupies until it is settled: room in the settler, and its place beside others.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) room: Option<OwnedSemaphorePermit>,
    /// Held, never read: dropping it lets a lonely job in.
    #[allow(dead_code)]
    pub(crate) pass: Option<Pass>,
}

/// What is left of an attempt that is over.
pub(crate) struct Unsettled {
    /// `None` = its delivery was handed over.
    pub(crate) receipt: Option<Box<dyn Receipt>>,
    /// `None` = nobody would accept a result; the delivery is let go.
    pub(crate) settlement: Option<Settlement>,
    pub(crate) places: Places,
}

/// Tells a handler to stop, once.
struct Stopper {
    cancel: CancellationToken,
    why: OnceLock<Stop>,
}

impl Stopper {
    /// The first reason stands.
    fn stop(&self, why: Stop) {
        if self.why.set(why).is_ok() {
            self.cancel.cancel();
        }
    }
}

enum Hold {
    Here(Box<dyn Receipt>),
    Lent,
    /// On loan, and the attempt ended meanwhile.
    Awaited(Box<(Option<Settlement>, Places)>),
    /// Acknowledged while the attempt goes on: the ledger keeps the job, and its slot counts as occupied.
    HandedOver(#[allow(dead_code)] Arc<OccupiedSlot>),
    Gone,
}

pub(crate) struct Attempt {
    /// Rises with every attempt of this process.
    pub(crate) number_in_process: u64,
    pub(crate) context: JobContext,
    pub(crate) start: Option<Start>,
    /// The ledger's number where there is a ledger.
    pub(crate) number: u32,
    /// The ledger does not hear of it by the receipt: write there first.
    pub(crate) ledger_first: bool,
    /// The broker wants a sign of life of its own.
    pub(crate) extends: bool,
    /// Taken from the kind: the hard limit of the handler.
    pub(crate) timeout: Duration,
    /// Its message carries no id: only its content says which one it is.
    pub(crate) nameless: bool,
    /// The message was handed out before.
    again: AtomicBool,
    stopper: Stopper,
    hold: Mutex<Hold>,
    /// What holds its delivery now.
    tie: Mutex<Option<Tie>>,
    /// The ledger would not keep the job: it is not asked again.
    stays: AtomicBool,
    /// The receipt of the delivery that took the place of a lost one whose settlement had begun.
    heir: Mutex<Option<Box<dyn Receipt>>>,
    confirmed: Mutex<Moment>,
    /// The ledger had a sign of life.
    beaten: AtomicBool,
    began: OnceLock<Instant>,
    ended: AtomicBool,
    went_back: AtomicBool,
    shown: Mutex<Option<(u8, String)>>,
}

impl Attempt {
    pub(crate) fn new(
        context: JobContext,
        cancel: CancellationToken,
        start: Option<Start>,
        receipt: Box<dyn Receipt>,
        claimed_at: Moment,
    ) -> Self {
        static ATTEMPTS: AtomicU64 = AtomicU64::new(0);
        Self {
            number_in_process: ATTEMPTS.fetch_add(1, Ordering::Relaxed),
            number: start.as_ref().map_or(context.attempt(), |start| start.attempt),
            context,
            start,
            ledger_first: false,
            extends: false,
            timeout: Duration::MAX,
            nameless: false,
            again: AtomicBool::new(false),
            stopper: Stopper { cancel, why: OnceLock::new() },
            tie: Mutex::new(receipt.tie()),
            hold: Mutex::new(Hold::Here(receipt)),
            stays: AtomicBool::new(false),
            heir: Mutex::default(),
            confirmed: Mutex::new(claimed_at),
            beaten: AtomicBool::new(false),
            began: OnceLock::new(),
            ended: AtomicBool::new(false),
            went_back: AtomicBool::new(false),
            shown: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> JobId {
        self.context.id()
    }

    pub(crate) fn lease(&self) -> Option<Lease> {
        self.start.as_ref().map(|start| start.lease)
    }

    /// Tells the handler to stop; the first reason stands.
    pub(crate) fn stop(&self, why: Stop) {
        self.stopper.stop(why);
    }

    pub(crate) fn stopped(&self) -> Option<Stop> {
        self.stopper.why.get().copied()
    }

    /// Resolves when the handler had its time to obey. A time-out is the innermost's business first.
    pub(crate) async fn out_of_patience(&self, grace: Duration) {
        self.stopper.cancel.cancelled().await;
        sleep(grace).await;
        if self.stopped() == Some(Stop::Timeout) {
            sleep(grace).await;
        }
    }

    pub(crate) fn begin(&self) {
        // Set once: an attempt begins once.
        let _ = self.began.set(Instant::now());
    }

    /// The handler is over; only the settlement is on its way.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// It goes back because the worker stops; `false` = that was said before.
    pub(crate) fn goes_back(&self) -> bool {
        !self.went_back.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Blocks its thread: it obeyed neither cancellation nor abort. Its lease may run out.
    pub(crate) fn is_beyond_control(&self, grace: Duration) -> bool {
        let limit = self.timeout.saturating_add(grace * 5);
        !self.has_ended() && self.began.get().is_some_and(|began| began.elapsed() > limit)
    }

    /// A sign of life that was sent at `at` was confirmed.
    pub(crate) fn confirm(&self, at: Moment) {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// The ledger confirmed a sign of life that was sent at `at`.
    pub(crate) fn beaten(&self, at: Moment) {
        self.beaten.store(true, Ordering::Relaxed);
        self.confirm(at);
    }

    /// Its claim alone says that it runs: its row does not yet.
    pub(crate) fn is_unwritten(&self) -> bool {
        self.lease().is_some_and(|lease| lease.claim.is_some()) && !self.beaten.load(Ordering::Relaxed)
    }

    /// Somebody else may hold the job already, or will before this one could hear of it. Where no lease is kept by us
    /// nobody can say.
    pub(crate) fn may_be_lost(&self, lease: Duration) -> bool {
        (self.start.is_some() || self.extends) && self.unconfirmed_for() >= lease * 2 / 3
    }

    pub(crate) fn unconfirmed_for(&self) -> Duration {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// The progress, when it changed since the last call.
    pub(crate) fn fresh_progress(&self) -> Option<(u8, String)> {
        let progress = self.context.said().progress?;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.as_ref() == Some(&progress) {
            return None;
        }
        *shown = Some(progress.clone());
        Some(progress)
    }

    /// The attempt is over: what is left to settle, or nothing when the receipt is on loan or already taken.
    pub(crate) fn over(&self, settlement: Option<Settlement>, places: Places) -> Option<Unsettled> {
        let mut hold = self.hold();
        match std::mem::replace(&mut *hold, Hold::Gone) {
            Hold::Here(receipt) => Some(Unsettled { receipt: Some(receipt), settlement, places }),
            Hold::HandedOver(_) => Some(Unsettled { receipt: None, settlement, places }),
            Hold::Lent => {
                *hold = Hold::Awaited(Box::new((settlement, places)));
                None
            }
            before => {
                *hold = before;
                None
            }
        }
    }

    /// Lends the receipt ([`Loan`](crate::loan::Loan)).
    pub(crate) fn lend(&self) -> Option<Box<dyn Receipt>> {
        let mut hold = self.hold();
        match std::mem::replace(&mut *hold, Hold::Lent) {
            Hold::Here(receipt) => Some(receipt),
            before => {
                *hold = before;
                None
            }
        }
    }

    /// The loan is over: its receipt comes back, or the slot that the job occupies instead. What waited for that is left to settle.
    pub(crate) fn take_back(
        &self,
        receipt: Option<Box<dyn Receipt>>,
        slot: Option<Arc<OccupiedSlot>>,
    ) -> Option<Unsettled> {
        let mut hold = self.hold();
        let (now, unsettled) = match (std::mem::replace(&mut *hold, Hold::Gone), slot) {
            (Hold::Awaited(waiting), _) => {
                let (settlement, places) = *waiting;
                (Hold::Gone, Some(Unsettled { receipt, settlement, places }))
            }
            (Hold::Lent, Some(slot)) => (Hold::HandedOver(slot), None),
            (Hold::Lent, None) => (receipt.map_or(Hold::Gone, Hold::Here), None),
            (before, _) => (before, None),
        };
        *hold = now;
        unsettled
    }

    /// From here on nobody goes on with a delivery that comes again: the ledger answers it.
    pub(crate) fn let_go(&self) {
        *self.tie.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the delivery under it is lost, so that the broker hands the message out again.
    pub(crate) fn is_cut(&self) -> bool {
        self.tie.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(Tie::is_cut)
    }

    /// Whether a delivery brings the message of this attempt once more. An id alone says nothing: anybody can publish
    /// other bytes under it, and those belong to the dead letters.
    pub(crate) fn is_of(&self, envelope: &Envelope, nameless: bool) -> bool {
        let own = self.context.envelope();
        let same = (&own.payload, &own.kind) == (&envelope.payload, &envelope.kind);
        let called = match nameless {
            false => own.id == envelope.id,
            true => own.headers == envelope.headers,
        };
        nameless == self.nameless && same && called
    }

    /// Whether its delivery may be let go: it has run for so long, nobody stops it, and the ledger can keep it.
    pub(crate) fn can_be_handed_over(&self, after: Duration) -> bool {
        let long = self.began.get().is_some_and(|began| began.elapsed() >= after);
        let kept = self.ledger_first && !self.nameless && self.context.envelope().may_be_kept();
        let goes_on = !self.has_ended() && self.stopped().is_none();
        long && kept
            && goes_on
            && !self.stays.load(Ordering::Relaxed)
            && matches!(*self.hold(), Hold::Here(_))
    }

    /// The ledger said that it does not keep it.
    pub(crate) fn stays(&self) {
        self.stays.store(true, Ordering::Relaxed);
    }

    /// Goes on with the receipt of the delivery that took the place of the lost one.
    pub(crate) fn inherit(&self, receipt: Box<dyn Receipt>) {
        *self.tie.lock().unwrap_or_else(PoisonError::into_inner) = receipt.tie();
        self.again.store(true, Ordering::Relaxed);
        let mut hold = self.hold();
        let _lost = match &mut *hold {
            Hold::Here(lost) => Some(std::mem::replace(lost, receipt)),
            _ => self.heir.lock().unwrap_or_else(PoisonError::into_inner).replace(receipt),
        };
    }

    /// The receipt to settle with instead of the lost one, if its message came again meanwhile.
    pub(crate) fn heir(&self) -> Option<Box<dyn Receipt>> {
        self.heir.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes that the message was handed out before.
    pub(crate) fn comes_again(&self, again: bool) {
        self.again.store(again, Ordering::Relaxed);
    }

    /// Whether the message was handed out before.
    pub(crate) fn came_again(&self) -> bool {
        self.again.load(Ordering::Relaxed)
    }

    fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
