//! Confirmed publishing for the whole process: many callers, one connection, one task that sends for all of them.
//!
//! A caller that goes away does not take its message back: what was handed over is sent.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use backshift_core::BrokerError;
use tokio::sync::{mpsc, oneshot};

use super::{
    config::Config,
    publishing::{IN_FLIGHT, Item, Message, Outgoing, Sender},
    wire::{Link, Wire},
};

/// Publishes over one connection. Cheap to share.
pub(super) struct Publisher {
    confirm_timeout: Duration,
    link: Arc<Link>,
    door: OnceLock<mpsc::Sender<Item>>,
}

impl Publisher {
    pub(super) fn new(config: Arc<Config>) -> Self {
        let confirm_timeout = config.options.confirm_timeout;
        let link = Arc::new(Link::new(config, "publishing"));
        Self { confirm_timeout, link, door: OnceLock::new() }
    }

    /// Publishes one message and waits for its confirm.
    pub(super) async fn publish(&self, message: Message) -> Result<(), BrokerError> {
        let (answer, answered) = oneshot::channel();
        if self.door().send(Item::Message(Box::new(Outgoing { message, answer }))).await.is_err() {
            return Err(BrokerError::Closed);
        }
        answered.await.unwrap_or(Err(BrokerError::Closed))
    }

    /// The connection, for a sign of life.
    pub(super) async fn wire(&self) -> Result<Arc<Wire>, BrokerError> {
        self.link.open().await
    }

    /// Waits for everything that was handed over so far, and ends the connection.
    pub(super) async fn close(&self) {
        if let Some(door) = self.door.get() {
            let (answer, answered) = oneshot::channel();
            if door.send(Item::Flush(answer)).await.is_ok() {
                let _ = answered.await;
            }
        }
        self.link.close().await;
    }

    fn door(&self) -> &mpsc::Sender<Item> {
        self.door.get_or_init(|| {
            let (door, items) = mpsc::channel(IN_FLIGHT);
            tokio::spawn(Sender::new(self.link.clone(), items, self.confirm_timeout).run());
            door
        })
    }
}
