//! Who works which queue, found once for all questions about queues.
//!
//! Five hundred queues and as many workers are a quarter of a million pairs for every question that asks each worker.

use std::collections::HashSet;

use backshift_core::{QueueCounts, QueueName, State, store::WorkerRecord};

/// Who works what.
pub(super) struct Worked<'a>(HashSet<&'a str>);

impl<'a> Worked<'a> {
    /// By these workers.
    pub(super) fn by(workers: &'a [WorkerRecord]) -> Self {
        Self(workers.iter().flat_map(WorkerRecord::queue_names).collect())
    }

    /// Whether a worker takes jobs from this queue.
    pub(super) fn has(&self, queue: &QueueName) -> bool {
        self.0.contains(queue.as_str())
    }

    /// Whether nobody takes what may run now in it.
    pub(super) fn leaves(&self, queue: &QueueCounts) -> bool {
        queue.count(State::Available) > 0 && !queue.paused && !self.has(&queue.queue)
    }
}
