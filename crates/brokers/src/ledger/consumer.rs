//! Claims due rows, as many as there are free slots, and sleeps until somebody wakes it.
//!
//! A job whose worker was lost three times is claimed by itself and at most one at a time, so that it takes no
//! neighbour along when it ends the process again. A job of a kind that this worker does not know is never handed out.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use backshift_core::{
    BrokerError, Consumer, Delivery, Envelope, ErrorClass, ErrorReport, Kinds, Moment, Retry,
    record::PARKED,
    store::{Holder, Start},
};
use backshift_store::{
    ledger::{self, Place, Round},
    notify::{Bell, Ear},
};
use futures::future::join_all;
use tokio::task::JoinHandle;

use super::{
    hands::Hand,
    receipt::LedgerReceipt,
    shared::{Lonely, Shared},
};

/// Rounds of claiming between two looks for lonely jobs while work is plenty.
const ROUNDS: u32 = 16;
/// The longest sleep without a wake-up: retries and jobs of other processes are found by this poll.
const POLL: Duration = Duration::from_millis(250);

/// Takes jobs of one queue.
///
/// A claim runs in a task of its own: a caller that goes away does not lose rows that are already under a lease.
pub(super) struct LedgerConsumer {
    shared: Arc<Shared>,
    ear: Ear,
    pending: Option<JoinHandle<Claimed>>,
    quiet: bool,
}

type Claimed = Result<Vec<Delivery>, BrokerError>;
type Job = (Envelope, Start);

/// One round of claiming.
struct Claim {
    hand: backshift_store::Uuid,
    asked_at: Moment,
    jobs: Vec<Job>,
}

impl LedgerConsumer {
    pub(super) fn new(shared: Shared, bell: &Bell) -> Self {
        Self { ear: bell.listen(&shared.queue), shared: Arc::new(shared), pending: None, quiet: false }
    }

    /// The claim that is under way, or a new one. While its jobs begin, the next one is under way if both fit into the
    /// free slots: jobs that take longer than a claim leave no room for that.
    async fn claimed(&mut self, free: usize) -> Claimed {
        let shared = &self.shared;
        let result = self.pending.get_or_insert_with(|| shared.begin(free)).await;
        self.pending = None;
        let claimed = result.unwrap_or(Err(BrokerError::Closed))?;
        if claimed.len() == self.shared.most && free >= 2 * self.shared.most {
            self.pending = Some(self.shared.begin(free - claimed.len()));
        }
        Ok(claimed)
    }
}

impl Shared {
    fn begin(self: &Arc<Self>, free: usize) -> JoinHandle<Claimed> {
        let shared = Arc::clone(self);
        tokio::spawn(async move { shared.claim(free).await })
    }

    async fn claim(self: &Arc<Self>, free: usize) -> Claimed {
        let claimed = self.claim_any(free).await?;
        if claimed.iter().all(|delivery| self.care.knows(delivery)) {
            return Ok(claimed);
        }
        let (mine, strangers): (Vec<_>, Vec<_>) =
            claimed.into_iter().partition(|delivery| self.care.knows(delivery));
        self.care.met_a_stranger();
        // Back into the line, where the next claim puts them aside: from now on this worker asks.
        join_all(strangers.into_iter().map(|stranger| back(stranger, Some(&self.holder)))).await;
        if mine.is_empty() { self.claim_any(free).await } else { Ok(mine) }
    }

    async fn claim_any(self: &Arc<Self>, free: usize) -> Claimed {
        if self.rounds.fetch_add(1, Ordering::Relaxed) % ROUNDS == ROUNDS - 1
            && let Some(delivery) = self.claim_alone().await?
        {
            return Ok(vec![delivery]);
        }
        let limit = free.clamp(1, self.most) as u32;
        let (kinds, from) = match self.care.kinds() {
            Some(kinds) => (Some(kinds), None),
            None => (None, self.place.next()),
        };
        let mut claim = self.claim_round(limit, from, kinds).await?;
        if claim.jobs.is_empty() && from.is_some() && self.place.patience().is_zero() {
            claim = self.claim_round(limit, None, None).await?;
        }
        if claim.jobs.is_empty() {
            return Ok(self.claim_alone().await?.into_iter().collect());
        }
        let (hand, asked_at) = (self.settled.hand(claim.hand, claim.jobs.len()), claim.asked_at);
        let deliveries = claim.jobs.into_iter();
        let delivery = |(envelope, start)| self.delivery(envelope, start, asked_at, None, Some(&hand));
        Ok(deliveries.map(delivery).collect())
    }

    async fn claim_round(
        &self,
        limit: u32,
        from: Option<Place>,
        kinds: Option<Kinds>,
    ) -> Result<Claim, BrokerError> {
        let round = Round { settled: self.settled.take(), from, kinds, ..Round::default() };
        let (asked_at, began) = (Moment::now(), Instant::now());
        let jobs = ledger::claim_round(&self.database, &self.queue, limit, &self.holder, &round).await;
        let jobs = jobs.map_err(|error| BrokerError::of_store(self.broker, error))?;
        let (last, full) = (jobs.last().map(|(envelope, _)| envelope), jobs.len() == limit as usize);
        // A claim that asks for kinds takes from several places, and says nothing of one.
        let last = last.filter(|_| round.kinds.is_none());
        let whole = from.is_none() && round.kinds.is_none();
        self.place.ended(last, full, whole.then(|| began.elapsed()));
        self.care.claimed(jobs.len(), limit as usize);
        Ok(Claim { hand: round.hand, asked_at, jobs })
    }

    async fn claim_alone(self: &Arc<Self>) -> Result<Option<Delivery>, BrokerError> {
        if self.lonely_out.swap(true, Ordering::AcqRel) {
            return Ok(None);
        }
        let (lonely, asked_at) = (Lonely::new(&self.lonely_out), Moment::now());
        let claimed = ledger::claim_alone(&self.database, &self.queue, &self.holder, self.care.all()).await;
        let claimed = claimed.map_err(|error| BrokerError::of_store(self.broker, error))?;
        Ok(claimed.map(|(envelope, start)| self.delivery(envelope, start, asked_at, Some(lonely), None)))
    }

    fn delivery(
        self: &Arc<Self>,
        envelope: Envelope,
        start: Start,
        asked_at: Moment,
        lonely: Option<Lonely>,
        hand: Option<&Arc<Hand>>,
    ) -> Delivery {
        let (lease, shared) = (start.lease, Arc::clone(self));
        Delivery {
            redelivered: start.starts > 1,
            anonymous: false,
            job: Ok(envelope),
            start: Some(start),
            claimed_at: Some(asked_at),
            receipt: Box::new(LedgerReceipt { lease, shared, hand: hand.cloned(), _lonely: lonely }),
        }
    }
}

#[async_trait]
impl Consumer for LedgerConsumer {
    async fn next(&mut self, free: usize) -> Claimed {
        loop {
            if self.quiet {
                return Err(BrokerError::Closed);
            }
            let deliveries = self.claimed(free).await?;
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            // A ring since the last look counts, so a job that arrived in between is found at once.
            // What a claim from its place did not see is looked for as soon as that may be.
            let patience = Some(self.shared.place.patience()).filter(|left| !left.is_zero());
            self.ear.rung(patience.map_or(POLL, |left| left.min(POLL))).await;
        }
    }

    async fn quiet(&mut self) {
        self.quiet = true;
        self.put_back().await;
    }

    /// Rows that were claimed for a call that was dropped, or ahead of the next one.
    async fn put_back(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        let claimed = pending.await.into_iter().flatten().flatten();
        // Side by side, so that they share statements.
        join_all(claimed.map(|delivery| back(delivery, None))).await;
    }
}

/// Uncounted, and at once; `stranger_to` = because this worker does not know its kind.
async fn back(delivery: Delivery, stranger_to: Option<&Holder>) {
    let Ok(next) = delivery.job else { return };
    let error = stranger_to.map(|holder| {
        let text = format!("{PARKED}worker {} has no handler for kind {}", holder.worker, next.kind);
        ErrorReport::new(ErrorClass::UnknownKind, text)
    });
    let retry = Retry { next, delay: Duration::ZERO, counted: false, error };
    if let Err(error) = delivery.receipt.retry(retry).await {
        tracing::warn!(%error, "a claimed job could not be put back; it returns when its lease ends");
    }
}
