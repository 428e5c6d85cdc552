//! Asks the ledger for the right to run what a foreign broker delivered.
//!
//! When the store is away nothing is decided: the deliveries stay unsettled, no attempt is burnt, and the
//! fetcher takes no more until the store is back.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Moment, Reason, Store,
    store::{ClaimRequest, Claimed},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::pool::Pool;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The ledger's word on one delivery.
#[derive(Debug)]
pub(crate) enum Word {
    /// The answer of the ledger, and the moment at which it was asked.
    Said(Claimed, Moment),
    /// It refuses this envelope for good, with the reason.
    Refused(Reason, String),
    /// The worker stops before an answer came.
    Unasked,
}

/// One word for each request, in order.
pub(crate) async fn claim(
    pool: &Pool,
    store: &Arc<dyn Store>,
    mut requests: Vec<ClaimRequest>,
    quiet: &CancellationToken,
) -> Vec<Word> {
    let holder = pool.engine.holder();
    let mut pause = FIRST_PAUSE;
    loop {
        let asked_at = Moment::now();
        let answer = store.claim(&holder, requests.clone()).await;
        match answer {
            Ok(claimed) => {
                pool.engine.health.clear("store claims");
                return claimed.into_iter().map(|word| Word::Said(word, asked_at)).collect();
            }
            Err(refusal) if refusal.is_refusal() && requests.len() == 1 => {
                return vec![Word::Refused(Reason::Malformed, refusal.to_string())];
            }
            Err(refusal) if refusal.is_refusal() => return one_by_one(pool, store, requests, quiet).await,
            Err(error) => {
                if pool.engine.health.trouble("store claims", &error) {
                    tracing::warn!(%error, queue = %pool.queue, deliveries = requests.len(), "claims wait for the store");
                }
                tokio::select! {
                    biased;
                    () = quiet.cancelled() => return requests.iter().map(|_| Word::Unasked).collect(),
                    () = sleep(pool.engine.around(pause)) => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                recognise_own(pool, store, &mut requests).await;
            }
        }
    }
}

/// A batch that was refused as a whole: the bad one must not take the others along.
async fn one_by_one(
    pool: &Pool,
    store: &Arc<dyn Store>,
    requests: Vec<ClaimRequest>,
    quiet: &CancellationToken,
) -> Vec<Word> {
    let mut words = Vec::with_capacity(requests.len());
    for request in requests {
        words.extend(Box::pin(claim(pool, store, vec![request], quiet)).await);
    }
    words
}

/// The answer to a claim may have been lost: a row that this worker holds without running it is ours to take over.
async fn recognise_own(pool: &Pool, store: &Arc<dyn Store>, requests: &mut [ClaimRequest]) {
    for request in requests.iter_mut().filter(|request| !request.redelivered) {
        let id = request.envelope.id;
        if let Ok(Some(row)) = store.find(id).await {
            let ours = row.worker.as_deref() == Some(pool.engine.name.as_str());
            request.redelivered = ours && !pool.running.holds(id);
        }
    }
}
