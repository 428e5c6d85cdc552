//! The port that remembers jobs, cut by concern so that each part stays small.
//!
//! Every result carries a lease; the store compares its token and answers [`Settled::Stale`](crate::Settled::Stale) to a worker that
//! was presumed dead. All times are the store's own.

mod breakers;
mod effects;
mod error;
mod hints;
mod jobs;
mod ledger;
mod limits;
mod maintenance;
mod outbox;
mod queues;
mod schedules;

use crate::sweep::Sweeps;

pub use crate::policy::{BreakerPolicy, Rate};
pub use crate::presence::{Harm, Liveness, ParkedKind, Trouble, Watched, WorkerRecord};
pub use crate::record::Forsaken;
pub use breakers::{Admission, BreakerRecord, Breakers};
pub use effects::Effects;
pub use error::StoreError;
pub use hints::{Hints, NoHints};
pub use jobs::Jobs;
pub use ledger::{
    Beat, CRASHES_BEFORE_ALONE, ClaimRequest, Claimed, Finish, HandOver, Holder, LONELY_CRASHES_BEFORE_DEAD,
    Ledger, Pulse, Start,
};
pub use limits::Limits;
pub use maintenance::{Due, KEPT_AT_LEAST, Maintenance, Rescued, Retention};
pub use outbox::Outbox;
pub use queues::{NEWEST_COUNTED, OVER_COUNTED, Queues, WAITING_COUNTED};
pub use schedules::Schedules;

/// Everything a store does.
pub trait Store:
    Ledger + Jobs + Queues + Maintenance + Schedules + Limits + Breakers + Effects + Outbox + Sweeps
{
    /// `postgres` or `sqlite`.
    fn name(&self) -> &'static str;
}
