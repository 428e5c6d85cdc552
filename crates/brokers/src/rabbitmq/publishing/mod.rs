//! One task sends for all callers over one channel, and tells each the fate of its message.

mod outgoing;
mod sender;
mod verdict;

pub(super) use outgoing::{Item, Message, Outgoing};
pub(super) use sender::{IN_FLIGHT, Sender};
