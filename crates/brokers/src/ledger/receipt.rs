//! The right to settle a claimed row. Settling the receipt settles the ledger: there is no second place.
//!
//! An engine with this ledger writes the row itself, with many others; the receipt then only leaves its hand.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use backshift_core::{
    Ack, BrokerError, DeadLetter, Lease, Receipt, Retry, Settled, Settlement,
    store::{Beat, Finish, Holder, Ledger},
};

use super::{
    hands::Hand,
    shared::{Lonely, Shared},
};

/// One claimed row.
pub(super) struct LedgerReceipt {
    pub(super) lease: Lease,
    pub(super) shared: Arc<Shared>,
    pub(super) hand: Option<Arc<Hand>>,
    /// Held while a job that must run alone is out.
    pub(super) _lonely: Option<Lonely>,
}

impl LedgerReceipt {
    async fn settle(self, settlement: Settlement) -> Result<Settled, BrokerError> {
        let settled =
            self.shared.settler.settle(Finish { lease: self.lease, settlement, durable: false }).await?;
        self.leave_hand();
        Ok(settled)
    }

    fn leave_hand(&self) {
        if let Some(hand) = &self.hand {
            hand.settle_one();
        }
    }
}

#[async_trait]
impl Receipt for LedgerReceipt {
    async fn ack(self: Box<Self>, ack: Ack) -> Result<Settled, BrokerError> {
        self.settle(Settlement::Ack(ack)).await
    }

    async fn retry(self: Box<Self>, retry: Retry) -> Result<Settled, BrokerError> {
        self.settle(Settlement::Retry(Box::new(retry))).await
    }

    async fn dead_letter(self: Box<Self>, letter: DeadLetter) -> Result<Settled, BrokerError> {
        self.settle(Settlement::DeadLetter(letter)).await
    }

    async fn extend(&mut self, by: Duration) -> Result<(), BrokerError> {
        let holder = Holder { worker: self.shared.holder.worker.clone(), lease: by };
        let beats = vec![Beat { lease: self.lease, progress: None }];
        let result = self.shared.store.beat(&holder, beats).await;
        result.map(drop).map_err(|error| BrokerError::of_store(self.shared.broker, error))
    }

    fn only_writes_ledger(&self) -> bool {
        true
    }

    fn written(self: Box<Self>) {
        self.leave_hand();
    }
}
