//! The hot statements of the ledger on SQLite, as closures for the writer thread.
//!
//! There is one writer, so what it does not do is won: parameters are `?n` and bound by position, times are bound
//! once a batch, and rows are read without a copy between. PostgreSQL's side stands in the modules above.

#[cfg_attr(not(feature = "embedded"), path = "absent.rs")]
mod closures;
mod statements;

pub(crate) use closures::{claim_alone_on, claim_on, complete_on, insert_on};
pub(crate) use statements::{
    ANY_ASIDE, CLAIM, CLAIM_ALONE, CLAIM_PLACES, COMPLETE, FIRST_ASIDE, FIRST_IN_LINE, INSERT, PAUSED,
    PUT_ALONE_ASIDE, PUT_ASIDE, TAKE_SEAT, Take,
};
