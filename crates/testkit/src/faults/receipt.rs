//! The receipt of a broker with a planted fault: what it does instead of settling.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use backshift_core::{Ack, Broker, BrokerError, Completion, DeadLetter, Reason, Receipt, Retry, Settled};

use super::broker_fault::BrokerFault;

/// A receipt that somebody else may settle as well.
type Shared = Arc<Mutex<Option<Box<dyn Receipt>>>>;

/// Every receipt that a consumer handed out so far.
pub(super) type Earlier = Arc<Mutex<Vec<Shared>>>;

pub(super) struct FaultyReceipt {
    honest: Shared,
    broker: Arc<dyn Broker>,
    fault: BrokerFault,
    earlier: Vec<Shared>,
}

impl FaultyReceipt {
    pub(super) fn around(
        honest: Box<dyn Receipt>,
        broker: &Arc<dyn Broker>,
        fault: BrokerFault,
        earlier: &Earlier,
    ) -> Box<dyn Receipt> {
        let honest: Shared = Arc::new(Mutex::new(Some(honest)));
        let mut all = earlier.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match fault {
            BrokerFault::AcksEarlierOnesToo => {
                all.push(Arc::clone(&honest));
                all.clone()
            }
            _ => Vec::new(),
        };
        Box::new(Self { honest, broker: Arc::clone(broker), fault, earlier: before })
    }

    fn take(&self) -> Box<dyn Receipt> {
        taken(&self.honest).unwrap_or_else(|| Box::new(Forgotten))
    }
}

fn taken(shared: &Shared) -> Option<Box<dyn Receipt>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn completed() -> Ack {
    Ack::Completed(Completion::default())
}

#[async_trait]
impl Receipt for FaultyReceipt {
    async fn ack(self: Box<Self>, ack: Ack) -> Result<Settled, BrokerError> {
        match self.fault {
            BrokerFault::AcksNothing => return Ok(Settled::Applied),
            BrokerFault::AcksEarlierOnesToo => {
                for earlier in self.earlier.iter().filter(|other| !Arc::ptr_eq(other, &self.honest)) {
                    if let Some(receipt) = taken(earlier) {
                        receipt.ack(completed()).await?;
                    }
                }
            }
            _ => {}
        }
        let settled = self.take().ack(ack).await?;
        Ok(if self.fault == BrokerFault::AppliesLateResults { Settled::Applied } else { settled })
    }

    async fn retry(self: Box<Self>, mut retry: Retry) -> Result<Settled, BrokerError> {
        match self.fault {
            BrokerFault::LosesOnRetry => return self.take().ack(completed()).await,
            BrokerFault::RetriesAfterTheAck => {
                let settled = self.take().ack(completed()).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.broker.publish(vec![retry.next]).await;
                return Ok(settled);
            }
            BrokerFault::ForgetsRetryDelay => retry.delay = Duration::ZERO,
            BrokerFault::CountsSnoozes if !retry.counted => {
                retry.next.attempt += 1;
                retry.counted = true;
            }
            _ => {}
        }
        self.take().retry(retry).await
    }

    async fn dead_letter(self: Box<Self>, mut letter: DeadLetter) -> Result<Settled, BrokerError> {
        match self.fault {
            BrokerFault::LosesDeadLetters => return self.take().ack(completed()).await,
            BrokerFault::ForgetsTheReason => letter.reason = Reason::Permanent,
            _ => {}
        }
        self.take().dead_letter(letter).await
    }

    async fn extend(&mut self, by: Duration) -> Result<(), BrokerError> {
        if self.fault == BrokerFault::NeverExtends {
            return Ok(());
        }
        let Some(mut receipt) = taken(&self.honest) else { return Ok(()) };
        let answer = receipt.extend(by).await;
        *self.honest.lock().unwrap_or_else(PoisonError::into_inner) = Some(receipt);
        answer
    }
}

/// A receipt that settles nothing and says that it did.
pub(super) struct Forgotten;

#[async_trait]
impl Receipt for Forgotten {
    async fn ack(self: Box<Self>, _ack: Ack) -> Result<Settled, BrokerError> {
        Ok(Settled::Applied)
    }

    async fn retry(self: Box<Self>, _retry: Retry) -> Result<Settled, BrokerError> {
        Ok(Settled::Applied)
    }

    async fn dead_letter(self: Box<Self>, _letter: DeadLetter) -> Result<Settled, BrokerError> {
        Ok(Settled::Applied)
    }

    async fn extend(&mut self, _by: Duration) -> Result<(), BrokerError> {
        Ok(())
    }
}
