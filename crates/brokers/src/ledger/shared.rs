//! What the claims of one queue and their receipts share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use backshift_core::{QueueName, store::Holder};
use backshift_store::{Database, SqlStore};

use super::{care::Care, hands::SettledHands, settler::Settler, walked::Walked};

/// The most rows of one claim.
const BATCH: usize = 500;
/// Smaller pools take all their free slots at once: their jobs take longer than a claim.
const LARGE: usize = 64;

/// Of one consumer.
pub(super) struct Shared {
    pub(super) broker: &'static str,
    pub(super) database: Database,
    pub(super) store: SqlStore,
    pub(super) settler: Settler,
    pub(super) queue: QueueName,
    pub(super) holder: Arc<Holder>,
    pub(super) care: Care,
    pub(super) lonely_out: Arc<AtomicBool>,
    pub(super) rounds: AtomicU32,
    /// The most rows of one claim; see [`most_of`].
    pub(super) most: usize,
    pub(super) settled: Arc<SettledHands>,
    pub(super) place: Walked,
}

/// The most rows of one claim. In a large pool half of the slots, so that one half runs while the next is claimed: all
/// at once, handlers and database would wait for each other in turn.
pub(super) fn most_of(slots: usize) -> usize {
    let half = if slots < LARGE { slots } else { slots.div_ceil(2) };
    half.clamp(1, BATCH)
}

/// Kept by the receipt of a job that runs alone; its end lets the next one be claimed.
pub(super) struct Lonely(Arc<AtomicBool>);

impl Lonely {
    pub(super) fn new(out: &Arc<AtomicBool>) -> Self {
        Self(Arc::clone(out))
    }
}

impl Drop for Lonely {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
