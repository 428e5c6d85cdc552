//! What a decoder takes for its input: every byte that it allocates is counted, and the time of the processor.
//!
//! Allocations are added up and never taken off, so that a bound on them is one on the memory at any moment too, and a
//! decoder that makes and drops a thing for each pair of bytes is seen. They are the same on every machine; time is not,
//! so it is compared with that of another input in the same process.

use std::{
    alloc::System,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cap::Cap;
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Allocated for any input, however small.
const BASE: usize = 256 << 10;

/// What something took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Bytes that were allocated, those that were given back included.
    pub bytes: usize,
    /// Time of the processor.
    pub time: Duration,
}

/// While this is held no other test of the process is measured or works: memory is counted for all threads together.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `work` takes in this thread; see [`alone`].
pub fn of<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let (bytes, time) = (ALLOCATOR.total_allocated(), processor());
    let made = work();
    let cost = Cost { bytes: ALLOCATOR.total_allocated() - bytes, time: processor() - time };
    (made, cost)
}

/// Runs `work` for an input of `size` bytes; panics when it allocates more than `factor` bytes for each of them.
pub(crate) fn within<T>(what: &str, size: usize, factor: usize, work: impl FnOnce() -> T) -> T {
    let (made, cost) = of(work);
    let most = BASE + factor * size;
    assert!(
        cost.bytes <= most,
        "{what} allocated {} bytes for {size} of input, at most {most} may be",
        cost.bytes
    );
    made
}

fn processor() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap_or_default(), now.tv_nsec.try_into().unwrap_or_default())
}
