//! Traps: a connection is held exactly when its client says something.
//!
//! What it says may come in several pieces, so that the end of the last piece is looked at again. Works on plaintext
//! connections only.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

/// On which side of the message the connection is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The server never gets the message.
    Before,
    /// The server gets it, and the client never gets an answer.
    After,
}

/// What a trap waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    message: Vec<u8>,
    hold: Hold,
}

impl Trap {
    /// Waits for these bytes from a client.
    pub fn new(message: &[u8], hold: Hold) -> Self {
        Self { message: message.to_vec(), hold }
    }

    /// PostgreSQL: the transaction that writes a probe's effect begins to write it.
    pub fn before_probe_effect() -> Self {
        Self::new(b"INSERT INTO backshift_probe_effects", Hold::Before)
    }

    /// PostgreSQL: a transaction commits, and its client does not learn it.
    pub fn after_commit() -> Self {
        Self::new(b"COMMIT", Hold::After)
    }

    /// RabbitMQ: the head of a `basic.ack`, which never arrives.
    pub fn before_amqp_ack() -> Self {
        Self::new(&[0, 0, 0, 13, 0, 60, 0, 80], Hold::Before)
    }
}

/// A trap that was set.
#[derive(Debug)]
pub struct Trapped(watch::Receiver<bool>);

impl Trapped {
    /// Whether a connection is held by now.
    pub fn is_sprung(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until a connection is held; `false` = the time passed.
    pub async fn sprung(&self, deadline: Duration) -> bool {
        let mut sprung = self.0.clone();
        let held = tokio::time::timeout(deadline, sprung.wait_for(|sprung| *sprung)).await;
        matches!(held, Ok(Ok(_)))
    }
}

type Set = Vec<(Trap, watch::Sender<bool>)>;

/// The traps of a proxy that are set.
#[derive(Clone, Default)]
pub(super) struct Traps(Arc<Mutex<Set>>);

impl Traps {
    pub(super) fn set(&self, trap: Trap) -> Trapped {
        let (sprung, seen) = watch::channel(false);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((trap, sprung));
        Trapped(seen)
    }

    pub(super) fn watch(&self) -> Watch {
        Watch { traps: self.clone(), end: Vec::new() }
    }
}

/// Looks at what one client says.
pub(super) struct Watch {
    traps: Traps,
    /// The end of what it said so far.
    end: Vec<u8>,
}

/// No message of a trap is longer.
const LONGEST: usize = 256;

impl Watch {
    /// Springs the first trap whose message is complete with this piece.
    pub(super) fn look(&mut self, piece: &[u8]) -> Option<Hold> {
        let mut set = self.traps.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.end.len();
        self.end.extend_from_slice(piece);
        // Only what ends within this piece is new.
        let complete = |trap: &Trap| {
            let length = trap.message.len();
            let from = before.saturating_sub(length.saturating_sub(1));
            length > 0 && self.end[from..].windows(length).any(|window| window == trap.message)
        };
        let found = set.iter().position(|(trap, _)| complete(trap));
        let kept = self.end.len().saturating_sub(LONGEST);
        self.end.drain(..kept);
        let (trap, sprung) = set.remove(found?);
        sprung.send_replace(true);
        Some(trap.hold)
    }
}
