//! A receipt on loan, for an extension or a hand-over.
//!
//! Dropped, it is given back, or the attempt goes on without one when it was let go; a settlement that waited for it begins.

use std::sync::Arc;

use backshift_core::{Receipt, broker::OccupiedSlot};

use crate::{attempt::Attempt, pool::Pool};

pub(crate) struct Loan {
    pool: Arc<Pool>,
    attempt: Arc<Attempt>,
    receipt: Option<Box<dyn Receipt>>,
    slot: Option<Arc<OccupiedSlot>>,
}

impl Loan {
    /// `None` = the receipt is not there: settled, handed over or lent already.
    pub(crate) fn of(pool: &Arc<Pool>, attempt: &Arc<Attempt>) -> Option<Self> {
        let receipt = Some(attempt.lend()?);
        Some(Self { pool: Arc::clone(pool), attempt: Arc::clone(attempt), receipt, slot: None })
    }

    pub(crate) fn receipt(&mut self) -> Option<&mut Box<dyn Receipt>> {
        self.receipt.as_mut()
    }

    /// The delivery is let go, however its acknowledgement ends: the receipt to acknowledge with. The attempt, or its
    /// settlement, does not wait for that.
    pub(crate) fn hand_over(mut self, slot: Arc<OccupiedSlot>) -> Option<Box<dyn Receipt>> {
        self.attempt.let_go();
        self.slot = Some(slot);
        self.receipt.take()
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let let_go = self.slot.is_some();
        let unsettled = self.attempt.take_back(self.receipt.take(), self.slot.take());
        if let_go {
            drop(self.attempt.heir());
        }
        if let Some(unsettled) = unsettled {
            self.pool.settler.settle(Arc::clone(&self.attempt), unsettled);
        }
    }
}
