//! Where the arms of a bench work, and the proof that every job ran once.

pub(crate) mod postgres;
pub(crate) mod sqlite;
