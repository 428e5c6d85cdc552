//! How a lying store claims, settles and extends.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use backshift_core::{
    Ack, JobId, Lease, Settled, Settlement, StoreError, WorkerName,
    store::{
        Beat, ClaimRequest, Claimed, Finish, HandOver, Holder, Ledger, Liveness, Pulse, Trouble, WorkerRecord,
    },
};

use super::{store::FaultyStore, store_fault::StoreFault};

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
