//! One settlement on its way: what is settled, through what, and what it still occupies.
//!
//! The order is always effect, ledger, broker: a settlement with a ledger part touches its receipt only after
//! the ledger said *applied*.

use std::sync::Arc;

use backshift_core::{JobId, Lease, Receipt, Settlement, store::Finish};

use crate::attempt::{Attempt, Places};

/// What becomes of an attempt.
#[derive(Debug)]
pub(crate) enum Parting {
    /// This.
    Settle(Settlement),
    /// Nobody would accept a result; the delivery is let go.
    Abandon,
}

/// One settlement.
pub(crate) struct Settling {
    /// For the log.
    pub(crate) id: Option<JobId>,
    /// The attempt, removed from the running ones when this is over.
    pub(crate) attempt: Option<Arc<Attempt>>,
    pub(crate) settlement: Settlement,
    /// `None` when it was used up and the ledger finishes the rest.
    pub(crate) receipt: Option<Box<dyn Receipt>>,
    /// The lease, if the delivery has one.
    pub(crate) lease: Option<Lease>,
    /// Write the ledger first.
    pub(crate) ledger_first: bool,
    /// Freed when this is over.
    pub(crate) places: Places,
}

impl Settling {
    /// The end of a delivery that never became an attempt.
    pub(crate) fn unstarted(id: Option<JobId>, settlement: Settlement, receipt: Box<dyn Receipt>) -> Self {
        Self {
            id,
            attempt: None,
            settlement,
            receipt: Some(receipt),
            lease: None,
            ledger_first: false,
            places: Places::default(),
        }
    }

    /// The ledger's part of it.
    pub(crate) fn finish(&self) -> Option<Finish> {
        let lease = self.lease?;
        Some(Finish { lease, settlement: self.settlement.clone() })
    }
}
