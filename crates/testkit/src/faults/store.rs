//! What a store with a planted fault is made of; how it lies stands in one file a concern, as in `memory`. Whatever is not
//! mentioned there is the honest store's answer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backshift_core::{
    Envelope, JobFilter, JobId, Lease, Page, State, Store, StoreError, WorkerName,
    store::{ClaimRequest, Holder},
    wire::SENSITIVE,
};

use super::store_fault::StoreFault;

pub(super) struct FaultyStore {
    pub(super) honest: Arc<dyn Store>,
    pub(super) fault: StoreFault,
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
    pub(super) fn first_of_key(&self, envelope: &Envelope) -> Option<JobId> {
        let key = envelope.unique.as_ref()?.key.clone();
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        Some(*keys.entry(key).or_insert(envelope.id)).filter(|first| *first != envelope.id)
    }

    pub(super) fn has(&self, fault: StoreFault) -> bool {
        self.fault == fault
    }

    /// The lease as the current holder would carry it.
    pub(super) async fn current(&self, lease: Lease) -> Result<Lease, StoreError> {
        let row = self.honest.find(lease.job).await?;
        Ok(row.map_or(lease, |row| Lease { token: row.token, ..lease }))
    }

    pub(super) fn spoil_claim(&self, request: &mut ClaimRequest) {
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
    pub(super) async fn trust(&self, request: &mut ClaimRequest) -> Result<(), StoreError> {
        if self.has(StoreFault::TrustsIds)
            && let Some(row) = self.honest.find(request.envelope.id).await?
        {
            (request.envelope.queue, request.envelope.kind) = (row.queue, row.kind);
        }
        Ok(())
    }

    /// Takes every running job from its worker.
    pub(super) async fn take_over(&self) -> Result<(), StoreError> {
        let filter = JobFilter { state: Some(State::Running), ..JobFilter::default() };
        for row in self.honest.list(&filter, &Page::default()).await? {
            // A claim for another broker than the job's would be a conflict.
            let mut known = ["conformance", "memory", "memory-ledger"].into_iter();
            let Some(broker) = known.rfind(|name| *name == row.broker) else { continue };
            let payload = row.payload.unwrap_or_default();
            let mut envelope = Envelope::new(row.kind, row.queue, payload, row.created_at);
            envelope.id = row.id;
            let worker = WorkerName::new("rescuer").expect("the name is legal");
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
