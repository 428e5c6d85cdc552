//! Acknowledgements on their way: many as one where they are contiguous, stragglers one by one.

mod acks;
mod watermark;

pub(super) use acks::Acks;
