//! Clears away what tests leave on servers, on a thread of its own.
//!
//! A value that a test drops may be dropped inside a runtime. Whoever waits there for a server stops every other task
//! of that thread, and a server may itself wait for one of them: PostgreSQL drops no database before each of its
//! backends has answered it, also one that stands in the middle of a result which our process does not read. So
//! nobody waits here: what the end of the process overtakes stays behind, and says so where it can be cleared later.

use std::{
    io,
    sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError, mpsc},
    time::{Duration, Instant},
};

type Work = Box<dyn FnOnce() -> io::Result<()> + Send>;

struct Reaper {
    queue: mpsc::Sender<(String, Work)>,
    /// What was handed over and is not done.
    open: Mutex<usize>,
    done: Condvar,
}

/// Clears `what` away soon; returns at once. The work may block, and bounds its own time.
pub fn later(what: impl Into<String>, work: impl FnOnce() -> io::Result<()> + Send + 'static) {
    let reaper = reaper();
    *reaper.open() += 1;
    if reaper.queue.send((what.into(), Box::new(work))).is_err() {
        *reaper.open() -= 1;
    }
}

/// Waits until everything is cleared away, for so long at most; for the end of a program, never for a `Drop`.
pub fn finish(limit: Duration) -> bool {
    let reaper = reaper();
    let end = Instant::now() + limit;
    let mut open = reaper.open();
    while *open > 0 {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        open = reaper.done.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    true
}

impl Reaper {
    fn open(&self) -> MutexGuard<'_, usize> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reaper() -> &'static Reaper {
    static REAPER: OnceLock<Reaper> = OnceLock::new();
    REAPER.get_or_init(|| {
        let (queue, work) = mpsc::channel();
        if let Err(error) = std::thread::Builder::new().name("reaper".into()).spawn(move || reap(&work)) {
            eprintln!("nothing will be cleared away: {error}");
        }
        Reaper { queue, open: Mutex::new(0), done: Condvar::new() }
    })
}

fn reap(queue: &mpsc::Receiver<(String, Work)>) {
    while let Ok((what, work)) = queue.recv() {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("{what} stays behind: {error}"),
            Err(_) => eprintln!("{what} stays behind"),
        }
        let reaper = reaper();
        *reaper.open() -= 1;
        reaper.done.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn nobody_waits_for_what_is_cleared_away_but_the_end() {
        let (release, held) = channel::<()>();
        let (say, said) = channel();
        later("a thing", move || {
            let _ = held.recv();
            panic!("a thing that fails keeps nothing from the next one");
        });
        later("another", move || say.send(()).map_err(io::Error::other));
        assert!(!finish(Duration::from_millis(1)), "the work was done without being let go");
        release.send(()).unwrap();
        assert!(finish(crate::pace::stretched(crate::wait::PATIENCE)));
        said.try_recv().unwrap();
    }
}
