//! What a store with a planted fault does; everything that is not mentioned is the honest store's answer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use backshift_core::{
    Accepted, Ack, AttemptRecord, EffectState, EffectStatus, Envelope, JobFilter, JobId, JobRecord, Lease,
    Page, QueueCounts, QueueName, Settled, Settlement, State, Store, StoreError, Timestamp, WorkerName,
    store::{
        Admission, Beat, BreakerPolicy, BreakerRecord, Breakers, ClaimRequest, Claimed, Due, Effects, Finish,
        Forsaken, HandOver, Hints, Holder, Jobs, Ledger, Limits, Liveness, Maintenance, NoHints, Outbox,
        ParkedKind, Pulse, Queues, Rate, Rescued, Schedules, Trouble, WorkerRecord,
    },
    sweep::{Causes, Deed, Hand, HandRecord, Matching, Sweep, SweepRecord, Sweeps, Swept},
    wire::SENSITIVE,
};

use super::store_fault::StoreFault;

pub(super) struct FaultyStore {
    honest: Arc<dyn Store>,
    fault: StoreFault,
    /// The first job of each unique key.
    keys: Keys,
}

/// Who was the first of each unique key.
pub(crate) type Keys = Arc<Mutex<BTreeMap<String, JobId>>>;

impl FaultyStore {
    pub(super) fn new(honest: Arc<dyn Store>, fault: StoreFault, keys: Keys) -> Self {
        Self { honest, fault, keys }
    }

    /// Who took the key of a job first, if it was another one.
    fn first_of_key(&self, envelope: &Envelope) -> Option<JobId> {
        let key = envelope.unique.as_ref()?.key.clone();
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        Some(*keys.entry(key).or_insert(envelope.id)).filter(|first| *first != envelope.id)
    }

    fn has(&self, fault: StoreFault) -> bool {
        self.fault == fault
    }

    /// The lease as the current holder would carry it.
    async fn current(&self, lease: Lease) -> Result<Lease, StoreError> {
        let row = self.honest.find(lease.job).await?;
        Ok(row.map_or(lease, |row| Lease { token: row.token, ..lease }))
    }

    fn spoil_claim(&self, request: &mut ClaimRequest) {
        match self.fault {
            StoreFault::RunsHeldJobs => request.redelivered = true,
            StoreFault::KeepsSecrets => drop(request.envelope.headers.remove(SENSITIVE)),
            StoreFault::RewritesPayload => {
                let payload = &mut request.envelope.payload;
                if let Ok(value) = serde_json::from_slice::<serde_json::Value>(payload) {
                    *payload = value.to_string().into();
                }
            }
            _ => {}
        }
    }

    /// Makes a delivery look like one of the job whose id it carries.
    async fn trust(&self, request: &mut ClaimRequest) -> Result<(), StoreError> {
        if self.has(StoreFault::TrustsIds)
            && let Some(row) = self.honest.find(request.envelope.id).await?
        {
            (request.envelope.queue, request.envelope.kind) = (row.queue, row.kind);
        }
        Ok(())
    }

    /// Takes every running job from its worker.
    async fn take_over(&self) -> Result<(), StoreError> {
        let filter = JobFilter { state: Some(State::Running), ..JobFilter::default() };
        for row in self.honest.list(&filter, &Page::default()).await? {
            // A claim for another broker than the job's would be a conflict.
            let mut known = ["conformance", "memory", "memory-ledger"].into_iter();
            let Some(broker) = known.rfind(|name| *name == row.broker) else { continue };
            let payload = row.payload.unwrap_or_default();
            let mut envelope = Envelope::new(row.kind, row.queue, payload, row.created_at);
            envelope.id = row.id;
            let worker = backshift_core::WorkerName::new("rescuer").expect("the name is legal");
            let holder = Holder { worker, lease: Duration::from_millis(100) };
            let request =
                ClaimRequest { envelope, broker, redelivered: true, anonymous: false, except: Vec::new() };
            self.honest.claim(&holder, vec![request]).await?;
        }
        Ok(())
    }
}

impl Store for FaultyStore {
    fn name(&self) -> &'static str {
        self.honest.name()
    }
}

#[async_trait]
impl Sweeps for FaultyStore {
    async fn matching(&self, filter: &JobFilter) -> Result<Matching, StoreError> {
        self.honest.matching(filter).await
    }

    async fn begin_sweep(&self, sweep: &Sweep) -> Result<Swept, StoreError> {
        let mut sweep = sweep.clone();
        if self.has(StoreFault::BeginsAnew) {
            sweep.words = format!("{} {}", sweep.words, uuid::Uuid::now_v7());
        }
        self.honest.begin_sweep(&sweep).await
    }

    async fn sweep(&self, id: uuid::Uuid, hand: &Hand) -> Result<Swept, StoreError> {
        self.honest.sweep(id, hand).await
    }

    async fn find_sweep(&self, id: uuid::Uuid) -> Result<Option<SweepRecord>, StoreError> {
        self.honest.find_sweep(id).await
    }

    async fn act(&self, deed: Deed, job: JobId, hand: &Hand) -> Result<State, StoreError> {
        self.honest.act(deed, job, hand).await
    }

    async fn turn(&self, queue: &QueueName, paused: bool, hand: &Hand) -> Result<bool, StoreError> {
        self.honest.turn(queue, paused, hand).await
    }

    async fn hands(&self, job: JobId) -> Result<Vec<HandRecord>, StoreError> {
        match self.has(StoreFault::ForgetsHands) {
            true => Ok(Vec::new()),
            false => self.honest.hands(job).await,
        }
    }

    async fn all_hands(&self, before: Option<Timestamp>, limit: u32) -> Result<Vec<HandRecord>, StoreError> {
        match self.has(StoreFault::ForgetsHands) {
            true => Ok(Vec::new()),
            false => self.honest.all_hands(before, limit).await,
        }
    }

    async fn causes(&self, filter: &JobFilter) -> Result<Causes, StoreError> {
        self.honest.causes(filter).await
    }
}

#[async_trait]
impl Ledger for FaultyStore {
    async fn claim(&self, holder: &Holder, mut batch: Vec<ClaimRequest>) -> Result<Vec<Claimed>, StoreError> {
        for request in &mut batch {
            self.spoil_claim(request);
            self.trust(request).await?;
        }
        let mut answers = self.honest.claim(holder, batch).await?;
        for answer in &mut answers {
            if let (Claimed::Run(start), true) = (answer, self.has(StoreFault::CountsCrashes)) {
                start.attempt += start.crashes;
            }
        }
        Ok(answers)
    }

    async fn finish(&self, mut batch: Vec<Finish>) -> Result<Vec<Settled>, StoreError> {
        if self.has(StoreFault::LosesResults) {
            return Ok(vec![Settled::Applied; batch.len()]);
        }
        for finish in &mut batch {
            match (&mut finish.settlement, self.fault) {
                (_, StoreFault::NoFencing) => finish.lease = self.current(finish.lease).await?,
                (Settlement::Ack(Ack::Completed(done)), StoreFault::LosesOutput) => done.output = None,
                (Settlement::Retry(retry), StoreFault::RunsEarly) => retry.delay = Duration::ZERO,
                (Settlement::Retry(retry), StoreFault::NeverCounts) => {
                    retry.counted = false;
                    retry.next.attempt = 1;
                }
                _ => {}
            }
        }
        let answers = self.honest.finish(batch).await?;
        let lies = self.has(StoreFault::AcceptsStaleResults);
        Ok(answers.into_iter().map(|answer| if lies { Settled::Applied } else { answer }).collect())
    }

    async fn gone(&self, jobs: Vec<JobId>) -> Result<(), StoreError> {
        if self.has(StoreFault::ForgetsWhatIsGone) {
            return Ok(());
        }
        self.honest.gone(jobs).await
    }

    async fn beat(&self, holder: &Holder, mut beats: Vec<Beat>) -> Result<Vec<Pulse>, StoreError> {
        if self.has(StoreFault::SaysItBeats) {
            return Ok(beats.iter().map(|beat| Pulse::Until(beat.lease.until)).collect());
        }
        if self.has(StoreFault::BeatsForAnybody) {
            for beat in &mut beats {
                beat.lease = self.current(beat.lease).await?;
            }
        }
        let until = beats.first().map(|beat| beat.lease.until);
        let mut pulses = self.honest.beat(holder, beats).await?;
        for pulse in &mut pulses {
            if let (Pulse::CancelRequested, StoreFault::ForgetsCancel, Some(until)) =
                (*pulse, self.fault, until)
            {
                *pulse = Pulse::Until(until);
            }
        }
        Ok(pulses)
    }

    async fn unwanted(&self, worker: &WorkerName, leases: &[Lease]) -> Result<Vec<Lease>, StoreError> {
        let unwanted = self.honest.unwanted(worker, leases).await?;
        Ok(unwanted.into_iter().filter(|_| !self.has(StoreFault::HidesWishes)).collect())
    }

    async fn park(&self, leases: &[Lease]) -> Result<Vec<bool>, StoreError> {
        self.honest.park(leases).await
    }

    async fn hand_over(&self, jobs: Vec<HandOver>) -> Result<Vec<bool>, StoreError> {
        if self.has(StoreFault::SaysItKeeps) {
            return Ok(vec![true; jobs.len()]);
        }
        self.honest.hand_over(jobs).await
    }

    async fn take_seat(&self, lease: Lease) -> Result<bool, StoreError> {
        Ok(self.honest.take_seat(lease).await? || self.has(StoreFault::SeatsEverybody))
    }

    async fn announce(&self, worker: &WorkerRecord) -> Result<Arc<dyn Liveness>, StoreError> {
        let kinds = if self.has(StoreFault::OffersNothing) { Vec::new() } else { worker.kinds.clone() };
        self.honest.announce(&WorkerRecord { kinds, ..worker.clone() }).await
    }

    async fn tell(&self, worker: &WorkerName, troubles: &[Trouble]) -> Result<(), StoreError> {
        if self.has(StoreFault::HearsNoTrouble) {
            return Ok(());
        }
        self.honest.tell(worker, troubles).await
    }

    async fn workers(&self) -> Result<Vec<WorkerRecord>, StoreError> {
        self.honest.workers().await
    }
}

#[async_trait]
impl Jobs for FaultyStore {
    async fn find(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.honest.find(id).await
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRecord>, StoreError> {
        self.honest.attempts(id).await
    }

    async fn over(&self, ids: &[JobId]) -> Result<Vec<JobId>, StoreError> {
        self.honest.over(ids).await
    }

    async fn list(&self, filter: &JobFilter, page: &Page) -> Result<Vec<JobRecord>, StoreError> {
        let mut rows = self.honest.list(filter, page).await?;
        if self.has(StoreFault::SkipsRows) && rows.len() == page.limit as usize {
            rows.remove(rows.len() / 2);
        }
        Ok(rows)
    }

    async fn cancel(&self, id: JobId) -> Result<State, StoreError> {
        self.honest.cancel(id).await
    }

    async fn retry(&self, id: JobId) -> Result<State, StoreError> {
        self.honest.retry(id).await
    }
}

#[async_trait]
impl Queues for FaultyStore {
    async fn counts(&self) -> Result<Vec<QueueCounts>, StoreError> {
        self.honest.counts().await
    }

    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<bool, StoreError> {
        self.honest.pause(queue, paused).await
    }

    async fn paused(&self) -> Result<Vec<QueueName>, StoreError> {
        let paused = self.honest.paused().await?;
        Ok(paused.into_iter().filter(|_| !self.has(StoreFault::HidesPauses)).collect())
    }

    async fn parked(&self) -> Result<Vec<ParkedKind>, StoreError> {
        if self.has(StoreFault::ParksInSilence) {
            return Ok(Vec::new());
        }
        self.honest.parked().await
    }

    fn wishes(&self) -> Box<dyn Hints> {
        match self.has(StoreFault::TellsNobody) {
            true => Box::new(NoHints),
            false => self.honest.wishes(),
        }
    }
}

#[async_trait]
impl Maintenance for FaultyStore {
    async fn promote(&self, limit: u32) -> Result<(u64, Option<Due>), StoreError> {
        self.honest.promote(limit).await
    }

    fn dues(&self) -> Box<dyn Hints> {
        self.honest.dues()
    }

    async fn rescue(&self) -> Result<Rescued, StoreError> {
        if self.has(StoreFault::RescuesByAge) {
            self.take_over().await?;
        }
        self.honest.rescue().await
    }

    async fn forsaken(
        &self,
        broker: &str,
        queue: &QueueName,
        after: Duration,
    ) -> Result<Vec<Forsaken>, StoreError> {
        let after = if self.has(StoreFault::ForsakesWhatRuns) { Duration::ZERO } else { after };
        self.honest.forsaken(broker, queue, after).await
    }

    async fn forsake(&self, jobs: Vec<JobId>, after: Duration) -> Result<u64, StoreError> {
        let after = if self.has(StoreFault::ForsakesWhatRuns) { Duration::ZERO } else { after };
        self.honest.forsake(jobs, after).await
    }

    async fn prune(&self, keep: Duration, limit: u32) -> Result<u64, StoreError> {
        self.honest.prune(keep, limit).await
    }

    async fn prune_dead(&self, keep: Duration, limit: u32) -> Result<u64, StoreError> {
        self.honest.prune_dead(keep, limit).await
    }
}

#[async_trait]
impl Schedules for FaultyStore {
    async fn last_tick(&self, name: &str, now: Timestamp) -> Result<Timestamp, StoreError> {
        self.honest.last_tick(name, now).await
    }

    async fn advance(&self, name: &str, from: Timestamp, to: Timestamp) -> Result<bool, StoreError> {
        Ok(self.honest.advance(name, from, to).await? || self.has(StoreFault::TicksTwice))
    }

    async fn schedules(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        self.honest.schedules().await
    }
}

#[async_trait]
impl Limits for FaultyStore {
    async fn reserve(&self, key: &str, rate: Rate) -> Result<Option<Duration>, StoreError> {
        let wait = self.honest.reserve(key, rate).await?;
        Ok(wait.filter(|_| !self.has(StoreFault::GrantsEverything)))
    }

    async fn occupy(&self, key: &str, slots: u32, lease: &Lease) -> Result<bool, StoreError> {
        Ok(self.honest.occupy(key, slots, lease).await? || self.has(StoreFault::PlacesEverybody))
    }

    async fn vacate(&self, key: &str, lease: &Lease) -> Result<(), StoreError> {
        self.honest.vacate(key, lease).await
    }
}

#[async_trait]
impl Breakers for FaultyStore {
    async fn admit(&self, name: &str) -> Result<Admission, StoreError> {
        let shown = self.honest.breakers().await?;
        let half_open = shown.iter().any(|breaker| breaker.name == name && breaker.state == "half-open");
        let answer = self.honest.admit(name).await?;
        let returning = shown.iter().any(|breaker| breaker.name == name && breaker.state == "returning");
        if returning && self.has(StoreFault::ReturnsAtOnce) {
            return Ok(Admission::Go);
        }
        Ok(if half_open && self.has(StoreFault::ProbesAtOnce) { Admission::Probe } else { answer })
    }

    async fn report(
        &self,
        name: &str,
        mut policy: BreakerPolicy,
        result: Result<(), String>,
    ) -> Result<(), StoreError> {
        if self.has(StoreFault::OpensNoLonger) {
            policy.open_at_most = policy.open_for;
        }
        self.honest.report(name, policy, result).await
    }

    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError> {
        self.honest.breakers().await
    }
}

#[async_trait]
impl Effects for FaultyStore {
    async fn intend(&self, lease: &Lease, key: &str) -> Result<EffectStatus, StoreError> {
        let mut status = self.honest.intend(lease, key).await?;
        if self.has(StoreFault::ForgetsEffects) {
            status.before = EffectState::None;
        }
        Ok(status)
    }

    async fn conclude(
        &self,
        lease: &Lease,
        key: &str,
        state: EffectState,
        receipt: Option<&str>,
    ) -> Result<(), StoreError> {
        self.honest.conclude(lease, key, state, receipt).await
    }
}

#[async_trait]
impl Outbox for FaultyStore {
    async fn accept(&self, broker: &str, mut batch: Vec<Envelope>) -> Result<Vec<Accepted>, StoreError> {
        for envelope in &mut batch {
            match self.fault {
                StoreFault::ForgetsUniqueKeys => envelope.unique = None,
                StoreFault::ForgetsIdempotency => envelope.idempotency_key = None,
                _ => {}
            }
        }
        if self.has(StoreFault::KeepsUniqueKeys) {
            let mut answers = Vec::with_capacity(batch.len());
            for envelope in batch {
                match self.first_of_key(&envelope) {
                    Some(first) => answers.push(Accepted::Unique(first)),
                    None => answers.extend(self.honest.accept(broker, vec![envelope]).await?),
                }
            }
            return Ok(answers);
        }
        self.honest.accept(broker, batch).await
    }

    async fn take_unpublished(
        &self,
        broker: &str,
        limit: u32,
        hold: Duration,
    ) -> Result<Vec<Envelope>, StoreError> {
        let hold = if self.has(StoreFault::HandsOutTwice) { Duration::ZERO } else { hold };
        self.honest.take_unpublished(broker, limit, hold).await
    }

    async fn mark_published(&self, ids: &[JobId]) -> Result<(), StoreError> {
        self.honest.mark_published(ids).await
    }
}
