//! What is known after a run, as it was read: who accepted what, and what the databases and brokers say.
//!
//! Facts are only collected here; [`super::Reconciliation`] judges them.

use std::collections::{BTreeMap, HashMap};

use backshift_core::JobId;

/// What a job that was accepted must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Expected {
    /// Rows of effect.
    pub effects: u64,
    /// The number of its last attempt: 1 + the failures of its own making.
    pub attempt: u32,
}

impl Default for Expected {
    /// One effect in the first attempt.
    fn default() -> Self {
        Self { effects: 1, attempt: 1 }
    }
}

/// How often a job was started, and the highest number an attempt had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Starts {
    /// Rows of the attempts table.
    pub starts: u64,
    /// 1 + counted failures at its last start.
    pub attempt: u32,
}

/// Everything that a reconciliation looks at.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Every id whose acceptance was confirmed to a producer.
    pub accepted: HashMap<JobId, Expected>,
    /// Rows of effect of each job.
    pub effects: HashMap<JobId, u64>,
    /// What the attempts table says.
    pub starts: HashMap<JobId, Starts>,
    /// The state of each row of the ledger.
    pub states: HashMap<JobId, String>,
    /// What stands in each queue, retry queue and dead-letter queue of a foreign broker.
    pub queues: BTreeMap<String, u64>,
    /// What stands in the outbox.
    pub outbox: u64,
}
