//! What middleware that sends a job away for a while has in common.

use std::time::Duration;

use backshift_core::{JobContext, JobError, StoreError};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// How long a job waits when the store cannot be asked.
const STORE_AWAY: Duration = Duration::from_secs(5);

/// A number from 0 to 1 for this start of this job: as good as random over jobs and starts, and the same when a
/// simulation repeats itself.
pub(super) fn luck(context: &JobContext) -> f64 {
    let seed = context.id().0.as_u64_pair();
    let start = (seed.0 ^ seed.1.rotate_left(32)).wrapping_add(u64::from(context.starts()));
    SmallRng::seed_from_u64(start).random_range(0.0..=1.0)
}

/// The store cannot be asked: come back soon, no attempt is burnt.
pub(super) fn store_away(error: &StoreError) -> JobError {
    JobError::snooze(STORE_AWAY, error)
}
