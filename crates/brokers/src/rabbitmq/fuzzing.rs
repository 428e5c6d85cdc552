//! What the wire says about one message and what is written of it, without a server: for the fuzz targets.
//!
//! Only behind the feature `fuzzing`. Nothing here decides anything; it hands through to the private pieces.

use backshift_core::{
    BrokerError, Bytes, DeadLetter, Envelope, Malformed, QueueName, Timestamp, broker::Binding,
};
use lapin::{BasicProperties, message::Delivery};

use super::{
    message::{self, Incoming},
    properties, wire,
};

/// Makes the payload of a content header frame readable, as the socket does; says whether anything was changed.
pub fn scrub(payload: &mut [u8]) -> bool {
    wire::content_header(payload)
}

/// Whether a header of this name may appear among an envelope's own headers.
pub fn is_the_jobs_own(name: &str) -> bool {
    !message::is_the_servers(name) && !backshift_core::wire::FIELDS.contains(&name)
}

/// One message as it was read.
pub struct Message(Incoming);

impl Message {
    /// Reads a delivery with these properties and this body.
    pub fn read(
        properties: BasicProperties,
        body: &[u8],
        queue: &QueueName,
        binding: Option<&Binding>,
        now: Timestamp,
    ) -> Self {
        let mut delivery = Delivery::mock(1, "".into(), "".into(), false, body.to_vec());
        delivery.properties = properties;
        Self(message::read(delivery, queue, binding, now))
    }

    /// The job, or what is wrong with the bytes.
    pub fn job(&self) -> Result<&Envelope, &Malformed> {
        self.0.job.as_ref()
    }

    /// Whether the producer gave it no id.
    pub fn is_anonymous(&self) -> bool {
        self.0.anonymous
    }

    /// The body that a dead letter would carry.
    pub fn body(&self) -> &Bytes {
        &self.0.origin.body
    }

    /// Properties of the next run's message; `direct` = it waits in no retry queue.
    pub fn retry(
        &self,
        next: &Envelope,
        direct: bool,
        now: Timestamp,
    ) -> Result<BasicProperties, BrokerError> {
        properties::of_retry(&self.0.origin, next, direct, now)
    }

    /// Properties of the message that goes on to its next retry queue.
    pub fn hop(&self) -> Result<BasicProperties, BrokerError> {
        properties::of_hop(&self.0.origin)
    }

    /// Properties of the copy among the dead letters.
    pub fn dead_letter(&self, letter: &DeadLetter, now: Timestamp) -> Result<BasicProperties, BrokerError> {
        properties::of_dead_letter(&self.0.origin, letter, "fuzz", now)
    }
}
