//! One settlement on its way: what is settled, through what, and what it still occupies.
//!
//! The order is always effect, ledger, broker: a settlement with a ledger part touches its receipt only after
//! the ledger said *applied*.

use std::sync::Arc;

use backshift_core::{Ack, Ended, Endings, JobId, Lease, Receipt, Settlement, State, store::Finish};

use crate::attempt::{Attempt, Places};

/// One settlement.
pub(crate) struct Settling {
    /// For the log.
    pub(crate) id: Option<JobId>,
    /// The attempt, removed from the running ones when this is over.
    pub(crate) attempt: Option<Arc<Attempt>>,
    pub(crate) settlement: Settlement,
    /// `None` when it was used up and the ledger finishes the rest, or its delivery was handed over.
    pub(crate) receipt: Option<Box<dyn Receipt>>,
    /// The lease, if the delivery has one.
    pub(crate) lease: Option<Lease>,
    /// Write the ledger first.
    pub(crate) ledger_first: bool,
    /// The message carries no id, and redeliveries are recognised by the job's row: tell the ledger when it is gone.
    pub(crate) nameless: bool,
    /// The message was handed out before.
    pub(crate) again: bool,
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
            nameless: false,
            again: false,
            places: Places::default(),
        }
    }

    /// The job whose message is gone for good now, if the ledger would otherwise expect it once more. A first delivery that was
    /// acknowledged is left out: nearly all are such, and the price is that its row may answer for one redelivery too many.
    pub(crate) fn gone(&self) -> Option<JobId> {
        let expected = self.again || !matches!(self.settlement, Settlement::Ack(_));
        self.id.filter(|_| self.nameless && expected)
    }

    /// Says that the job is over, if this ended it.
    pub(crate) fn tell_end(&self, endings: &Endings) {
        let Some(attempt) = &self.attempt else { return };
        let (state, error) = match &self.settlement {
            Settlement::Ack(Ack::Completed(_)) => (State::Completed, None),
            Settlement::Ack(Ack::Cancelled) => (State::Cancelled, None),
            Settlement::DeadLetter(letter) => (State::Dead, Some(&letter.error.message)),
            Settlement::Retry(_) => return,
        };
        let context = &attempt.context;
        endings.tell(attempt.id(), || Ended {
            id: attempt.id(),
            kind: context.kind().clone(),
            queue: context.queue().clone(),
            state,
            attempt: attempt.number,
            error: error.cloned(),
        });
    }

    /// The ledger's part of it.
    pub(crate) fn finish(&self) -> Option<Finish> {
        let lease = self.lease?;
        // Durable, when a message is acknowledged next: it does not come again. A job of a SQL broker comes back from the ledger.
        let durable = !self.receipt.as_ref().is_some_and(|receipt| receipt.only_writes_ledger());
        Some(Finish { lease, settlement: self.settlement.clone(), durable })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use backshift_core::{BrokerError, DeadLetter, Retry, Settled, Timestamp, Token, settle::Completion};

    use super::*;

    /// `true` = settling it is writing the ledger.
    struct Paper(bool);

    #[async_trait::async_trait]
    impl Receipt for Paper {
        async fn ack(self: Box<Self>, _: Ack) -> Result<Settled, BrokerError> {
            Ok(Settled::Applied)
        }

        async fn retry(self: Box<Self>, _: Retry) -> Result<Settled, BrokerError> {
            Ok(Settled::Applied)
        }

        async fn dead_letter(self: Box<Self>, _: DeadLetter) -> Result<Settled, BrokerError> {
            Ok(Settled::Applied)
        }

        async fn extend(&mut self, _: Duration) -> Result<(), BrokerError> {
            Ok(())
        }

        fn only_writes_ledger(&self) -> bool {
            self.0
        }
    }

    #[test]
    fn a_result_is_on_disk_before_its_message_is_acknowledged_and_no_other_waits_for_the_disk() {
        let job = JobId::generate();
        let lease = Lease { job, token: Token(1), until: Timestamp::UNIX_EPOCH, claim: None };
        for (only_ledger, durable) in [(false, true), (true, false)] {
            let settlement = Settlement::Ack(Ack::Completed(Completion::default()));
            let settling = Settling::unstarted(Some(job), settlement, Box::new(Paper(only_ledger)));
            let finish = Settling { lease: Some(lease), ..settling }.finish();
            assert_eq!(finish.map(|finish| finish.durable), Some(durable));
        }
    }
}
