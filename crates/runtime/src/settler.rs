//! Settles in the background: the ledger in batches, then the receipts side by side. A receipt that would only write the
//! ledger has nothing left to do then.
//!
//! A batch is whatever piled up during the previous round trip, so an idle queue settles at once and a busy one
//! in bulk. A result is given up only when the store says that it is stale; a lost receipt means redelivery.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use backshift_core::{
    Ack, BrokerError, Endings, Failpoint, JobRecord, Receipt, Settled, Settlement, State, Store,
    broker::settle, store::Finish,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc},
    time::sleep,
};

use crate::{
    attempt::{Attempt, Places, Unsettled},
    engine::Engine,
    gone::{Gone, tell},
    health::Health,
    running::Running,
    settling::Settling,
};

/// The most results that one call to the ledger carries.
const BATCH: usize = 512;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where finished attempts go. Cheap to share.
pub(crate) struct Settler {
    inbox: mpsc::UnboundedSender<Settling>,
    outbox: Mutex<mpsc::UnboundedReceiver<Settling>>,
    /// Bounds what is on its way: everybody who settles takes a room first.
    rooms: Arc<Semaphore>,
    store: Option<Arc<dyn Store>>,
    running: Arc<Running>,
    health: Arc<Health>,
    endings: Endings,
    stale: AtomicU64,
    /// Jobs whose messages are gone, for the ledger.
    gone: Gone,
}

impl Settler {
    pub(crate) fn new(
        store: Option<Arc<dyn Store>>,
        running: Arc<Running>,
        engine: &Engine,
        rooms: usize,
    ) -> Self {
        let (inbox, outbox) = mpsc::unbounded_channel();
        Self {
            inbox,
            outbox: Mutex::new(outbox),
            rooms: Arc::new(Semaphore::new(rooms)),
            store,
            running,
            health: Arc::clone(&engine.health),
            endings: engine.endings.clone(),
            stale: AtomicU64::new(0),
            gone: Gone::default(),
        }
    }

    /// Waits until there is room for one more settlement.
    pub(crate) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        match Arc::clone(&self.rooms).try_acquire_owned() {
            Ok(room) => Some(room),
            Err(_) => Arc::clone(&self.rooms).acquire_owned().await.ok(),
        }
    }

    /// An attempt is over with this result; `None` = its lease is over and nobody would accept one. `false` = it is not settled by
    /// this call: its receipt is on loan, and it is settled when the loan ends, or it was settled before.
    pub(crate) fn end(&self, attempt: &Arc<Attempt>, settlement: Option<Settlement>, places: Places) -> bool {
        let unsettled = attempt.over(settlement, places);
        let now = unsettled.is_some();
        if let Some(unsettled) = unsettled {
            self.settle(Arc::clone(attempt), unsettled);
        }
        now
    }

    /// Settles what is left of an attempt that is over.
    pub(crate) fn settle(&self, attempt: Arc<Attempt>, unsettled: Unsettled) {
        let Unsettled { receipt, settlement, places } = unsettled;
        let Some(settlement) = settlement else {
            self.count_stale(Some(attempt.id()));
            return self.running.remove(&attempt);
        };
        self.submit(Settling {
            id: Some(attempt.id()),
            lease: attempt.lease(),
            ledger_first: attempt.ledger_first,
            nameless: attempt.nameless,
            again: attempt.came_again(),
            attempt: Some(attempt),
            settlement,
            receipt,
            places,
        });
    }

    /// Hands over one settlement.
    pub(crate) fn submit(&self, settling: Settling) {
        // The receiver lives as long as self, so this cannot fail.
        let _ = self.inbox.send(settling);
    }

    /// How many results were refused because the lease was over.
    pub(crate) fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    /// Works until it is dropped; what it holds then is redelivered.
    pub(crate) async fn run(&self) {
        let mut outbox = self.outbox.lock().await;
        let mut arrived = Vec::new();
        let mut waiting: Vec<Settling> = Vec::new();
        let mut flush: Option<BoxFuture<'_, Vec<Settling>>> = None;
        let mut receipts = FuturesUnordered::new();
        let mut word: Option<BoxFuture<'_, ()>> = None;
        loop {
            if let (None, Some(store)) = (&word, &self.store) {
                word = self.gone.take().map(|jobs| tell(store, jobs).boxed());
            }
            if flush.is_none() && !waiting.is_empty() {
                let rest = waiting.split_off(waiting.len().min(BATCH));
                flush = Some(self.flush(std::mem::replace(&mut waiting, rest)).boxed());
            }
            tokio::select! {
                biased;
                Some(again) = receipts.next(), if !receipts.is_empty() => waiting.extend(again),
                () = under_way(&mut word), if word.is_some() => word = None,
                applied = in_flight(&mut flush), if flush.is_some() => {
                    flush = None;
                    applied.into_iter().for_each(|one| receipts.push(self.receipt(one)));
                }
                _ = outbox.recv_many(&mut arrived, BATCH) => for one in arrived.drain(..) {
                    match self.store.is_some() && begins_in_ledger(&one) {
                        true => waiting.push(one),
                        false => receipts.push(self.receipt(one)),
                    }
                },
            }
        }
    }

    /// Writes one batch into the ledger; what was applied goes on to its receipt.
    async fn flush(&self, batch: Vec<Settling>) -> Vec<Settling> {
        let Some(store) = &self.store else { return batch };
        let only = batch.iter().flat_map(|one| &one.receipt).filter(|receipt| receipt.only_writes_ledger());
        only.for_each(|_| Failpoint::BeforeAck.pass());
        let finishes: Vec<Finish> = batch.iter().filter_map(Settling::finish).collect();
        let answers = self.finish(store, finishes).await;
        Failpoint::AfterLedger.pass();
        let mut applied = Vec::with_capacity(batch.len());
        for (mut one, answer) in batch.into_iter().zip(answers) {
            let is_written = answer == Some(Settled::Applied);
            if answer == Some(Settled::Stale) {
                self.count_stale(one.id);
            }
            if is_written {
                one.tell_end(&self.endings);
            }
            if answer.is_some() {
                let written = one.receipt.take_if(|receipt| receipt.only_writes_ledger());
                written.into_iter().for_each(|receipt| receipt.written());
            }
            match is_written && one.receipt.is_some() {
                true => applied.push(one),
                false => self.done(one),
            }
        }
        applied
    }

    /// One answer each; `None` = the store refuses this one for good, its lease runs out.
    async fn finish(&self, store: &Arc<dyn Store>, batch: Vec<Finish>) -> Vec<Option<Settled>> {
        let mut pause = FIRST_PAUSE;
        for tries in 1_u32.. {
            match store.finish(batch.clone()).await {
                Ok(answers) => {
                    self.health.clear("store results");
                    return self.reread(store, &batch, answers, tries).await;
                }
                Err(error) if error.is_outage() => {
                    if self.health.trouble("store results", &error) {
                        tracing::warn!(%error, results = batch.len(), "results wait for the store");
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) if batch.len() == 1 => {
                    tracing::error!(%error, job = %batch[0].lease.job, "the store refuses a result; its lease runs out");
                    return vec![None];
                }
                Err(_) => return self.one_by_one(store, batch).await,
            }
        }
        Vec::new()
    }

    /// A batch that was refused as a whole: the bad one must not take the others along.
    async fn one_by_one(&self, store: &Arc<dyn Store>, batch: Vec<Finish>) -> Vec<Option<Settled>> {
        let mut answers = Vec::with_capacity(batch.len());
        for one in batch {
            answers.extend(Box::pin(self.finish(store, vec![one])).await);
        }
        answers
    }

    /// After an unknown outcome *stale* may mean that the first call did it: look before giving up.
    async fn reread(
        &self,
        store: &Arc<dyn Store>,
        batch: &[Finish],
        answers: Vec<Settled>,
        tries: u32,
    ) -> Vec<Option<Settled>> {
        let mut sure = Vec::with_capacity(answers.len());
        for (one, answer) in batch.iter().zip(answers) {
            let landed = answer == Settled::Stale
                && tries > 1
                && matches!(store.find(one.lease.job).await, Ok(Some(record)) if landed(&record, one));
            sure.push(Some(if landed { Settled::Applied } else { answer }));
        }
        sure
    }

    /// Settles one receipt. What comes back has lost its receipt and is finished in the ledger instead.
    async fn receipt(&self, mut one: Settling) -> Option<Settling> {
        let Some(receipt) = one.receipt.take() else {
            self.done(one);
            return None;
        };
        Failpoint::BeforeAck.pass();
        let answer = settle_with(&mut one, receipt).await;
        if !one.ledger_first && one.lease.is_some() {
            // Settling this receipt wrote the ledger.
            Failpoint::AfterLedger.pass();
        }
        match answer {
            Ok(Settled::Applied) => {
                // An end that went to the ledger first was told when the ledger had it.
                if !one.ledger_first {
                    one.tell_end(&self.endings);
                }
                self.gone.put(one.gone());
            }
            Ok(Settled::Stale) => self.count_stale(one.id),
            Err(error) => {
                let job = one.id.map(|id| id.to_string());
                tracing::warn!(%error, job, "a delivery could not be settled; the broker delivers it again");
                metrics::counter!("backshift_settlements_failed_total").increment(1);
                if !one.ledger_first && one.lease.is_some() && self.store.is_some() {
                    one.ledger_first = true;
                    return Some(one);
                }
            }
        }
        self.done(one);
        None
    }

    fn done(&self, one: Settling) {
        match (&one.attempt, one.id) {
            (Some(attempt), _) => self.running.remove(attempt),
            (None, Some(id)) if one.nameless => self.running.turned_away(id),
            _ => {}
        }
    }

    fn count_stale(&self, id: Option<backshift_core::JobId>) {
        self.stale.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("backshift_results_stale_total").increment(1);
        let job = id.map(|id| id.to_string());
        tracing::warn!(job, "a result came too late and was refused: the lease is over");
    }
}

/// Settles with the receipt, or with that of the delivery that took its place because its connection was cut.
async fn settle_with(one: &mut Settling, receipt: Box<dyn Receipt>) -> Result<Settled, BrokerError> {
    let heir = |one: &Settling| one.attempt.as_ref().and_then(|attempt| attempt.heir());
    let mut receipt = heir(one).unwrap_or(receipt);
    loop {
        let answer = AssertUnwindSafe(settle(receipt, one.settlement.clone())).catch_unwind().await;
        let answer = answer.unwrap_or_else(|_| Err(panicked()));
        let Some(next) = heir(one).filter(|_| answer.is_err()) else { return answer };
        (receipt, one.again) = (next, true);
    }
}

/// Whether the ledger is written before the receipt is settled, or instead.
fn begins_in_ledger(one: &Settling) -> bool {
    let instead = one.lease.is_some() && one.receipt.as_ref().is_some_and(|it| it.only_writes_ledger());
    instead || one.ledger_first
}

async fn in_flight(flush: &mut Option<BoxFuture<'_, Vec<Settling>>>) -> Vec<Settling> {
    match flush {
        Some(flush) => flush.await,
        None => Vec::new(),
    }
}

async fn under_way(word: &mut Option<BoxFuture<'_, ()>>) {
    if let Some(word) = word {
        word.await;
    }
}

fn panicked() -> BrokerError {
    BrokerError::Unknown { broker: "adapter", problem: "it panicked while settling".into() }
}

/// Whether the row shows this very result.
fn landed(record: &JobRecord, finish: &Finish) -> bool {
    let as_said = match &finish.settlement {
        Settlement::Ack(Ack::Completed(_)) => record.state == State::Completed,
        Settlement::Ack(Ack::Cancelled) => record.state == State::Cancelled,
        Settlement::DeadLetter(_) => record.state == State::Dead,
        Settlement::Retry(retry) => {
            let waits = matches!(record.state, State::Scheduled | State::Available | State::Retrying);
            waits && record.attempt == retry.next.attempt
        }
    };
    as_said && record.token == finish.lease.token
}
