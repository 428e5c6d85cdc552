//! The ledger: system A's `background_jobs` as the table of all jobs, and as the queue of the SQL brokers.
//!
//! A job of a SQL broker is accepted, claimed and finished in this one table. A job of a foreign broker has its
//! row from the first claim at the latest; there the row says who may run it, and the broker moves it.

pub(crate) mod anonymous;
pub(crate) mod beat;
pub(crate) mod both;
pub(crate) mod claim;
pub(crate) mod deliveries;
pub(crate) mod depth;
pub(crate) mod enqueue;
pub(crate) mod entry;
pub(crate) mod finish;
pub mod foreign;
pub(crate) mod forsaken;
pub(crate) mod handover;
pub(crate) mod job_row;
pub(crate) mod jobs;
pub(crate) mod kinds;
pub(crate) mod large;
pub(crate) mod list;
pub(crate) mod lite;
pub(crate) mod outcome;
pub(crate) mod park;
pub(crate) mod rescue;
pub(crate) mod search;
mod statements;
pub(crate) mod strangers;
pub(crate) mod taken;
pub(crate) mod takeover;
pub(crate) mod unique;
pub(crate) mod upkeep;

pub use claim::{Place, Round, claim_alone, claim_available, claim_round};
pub use depth::{COUNTED_AT_MOST, depth};
pub use enqueue::{declare, enqueue, has_met};
pub use entry::{MAX_FOREIGN_PAYLOAD, MAX_STORED_PAYLOAD};
pub use finish::{finish, soonest};
pub use kinds::{NEWEST_JOBS, newest_kinds};
pub use statements::statements;
