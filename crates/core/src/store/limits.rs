//! What the fleet may do at once and in a time. A place is held by a lease and comes free with it.

use std::time::Duration;

use async_trait::async_trait;

use super::error::StoreError;
use crate::{Lease, policy::Rate};

/// Atomic reservations that the fleet shares.
#[async_trait]
pub trait Limits: Send + Sync + 'static {
    /// Takes one from the key's allowance; `Some(wait)` = not now, ask again after this time.
    async fn reserve(&self, key: &str, rate: Rate) -> Result<Option<Duration>, StoreError>;

    /// Takes one of `slots` places of the key for this job until the lease ends; `false` = all are taken.
    async fn occupy(&self, key: &str, slots: u32, lease: &Lease) -> Result<bool, StoreError>;

    /// Gives the job's place back.
    async fn vacate(&self, key: &str, lease: &Lease) -> Result<(), StoreError>;
}
