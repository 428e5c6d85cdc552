//! A sight as one page reads it: what is the same for every queue of it is found once.

use backshift_core::{QueueName, store::ParkedKind};

use super::{sight::Sight, worked::Worked};

/// A sight, and what is read off it for every queue.
pub(super) struct View<'a> {
    pub(super) sight: &'a Sight,
    pub(super) worked: Worked<'a>,
    /// Kinds that wait in a queue which somebody works, and that nobody there knows. A queue that nobody works is another matter.
    pub(super) stranded: Vec<&'a ParkedKind>,
}

impl<'a> View<'a> {
    /// Of this sight.
    pub(super) fn of(sight: &'a Sight) -> Self {
        let worked = Worked::by(&sight.workers);
        let here = |parked: &&ParkedKind| worked.has(&parked.queue);
        let unknown = |parked: &&ParkedKind| !parked.is_known_to(&sight.workers);
        let stranded = sight.parked.iter().filter(here).filter(unknown).collect();
        Self { sight, worked, stranded }
    }

    /// How many jobs of this queue are parked and stay so, and whether there may be more than the ledger counts or lists.
    pub(super) fn stranded_in(&self, queue: &QueueName) -> (u64, bool) {
        let here = || self.stranded.iter().filter(|parked| parked.queue == *queue);
        let uncounted = here().any(|parked| parked.jobs >= u64::from(ParkedKind::COUNTED));
        (here().map(|parked| parked.jobs).sum(), uncounted || self.has_unlisted())
    }

    /// Whether there may be other kinds that nobody knows.
    pub(super) fn has_unlisted(&self) -> bool {
        self.sight.parked.len() >= ParkedKind::LISTED as usize
    }
}
