//! What is handed to the one task that publishes. A caller that goes away does not take it back.

use backshift_core::{BrokerError, Bytes};
use lapin::BasicProperties;
use tokio::sync::oneshot;

/// One message on its way out.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Empty = the default exchange, the routing key is the queue.
    pub(crate) exchange: String,
    pub(crate) routing_key: String,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Bytes,
}

/// What callers hand over.
pub(crate) enum Item {
    Message(Box<Outgoing>),
    /// Answered when everything before it is.
    Flush(oneshot::Sender<()>),
}

/// A message whose caller waits.
pub(crate) struct Outgoing {
    pub(crate) message: Message,
    pub(crate) answer: oneshot::Sender<Result<(), BrokerError>>,
}
