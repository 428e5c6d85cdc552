//! Group commit: many commands, one commit; only then is anybody answered.
//!
//! A group is first tried as if nothing could fail. When a command wants to be undone, the group is done again with
//! a savepoint for each; when SQLite undid the whole by itself (disk full), each command is tried alone.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use backshift_core::StoreError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    fault::{fault, is_busy, is_lost_sync},
    place::FilePlace,
};
use crate::Durability;

/// How long a lock of another process is waited for.
const LOCK_LIMIT: Duration = Duration::from_secs(9);

/// Something to do on the writer thread, and somebody who waits for it.
pub(super) trait Command: Send {
    fn durability(&self) -> Durability;
    /// Nobody waits any more: it is not begun.
    fn is_abandoned(&self) -> bool;
    /// Does it and keeps the outcome; `false` = undo it.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Tells the outcome, now that the commit is known.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A closure as a command.
pub(super) struct Closure<T, F> {
    pub(super) durability: Durability,
    pub(super) work: F,
    pub(super) outcome: Option<Result<T, StoreError>>,
    pub(super) reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Command for Closure<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> Result<T, StoreError> + Send,
{
    fn durability(&self) -> Durability {
        self.durability
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> bool {
        let work = &mut self.work;
        let outcome = catch_unwind(AssertUnwindSafe(|| work(connection)));
        let outcome = outcome
            .unwrap_or_else(|_| Err(StoreError::Rejected("a closure on the writer thread panicked".into())));
        let keep = outcome.is_ok();
        self.outcome = Some(outcome);
        keep
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let outcome = match (self.outcome, committed) {
            (Some(Err(refused)), _) => Err(refused),
            (_, Err(lost)) => Err(lost),
            (Some(done), Ok(())) => done,
            (None, Ok(())) => Err(StoreError::Unavailable("the writer stopped before this call".into())),
        };
        // Whoever asked may have gone: the commit stands all the same.
        let _ = self.reply.send(outcome);
    }
}

/// The connection that writes, and what it was told last.
pub(super) struct Committer {
    pub(super) connection: Connection,
    place: Arc<FilePlace>,
    synchronous: Durability,
    /// Set when the disk refused a sync: nothing is written after that.
    dead: bool,
}

impl Committer {
    pub(super) fn new(connection: Connection, place: Arc<FilePlace>) -> Self {
        Self { connection, place, synchronous: Durability::Strict, dead: false }
    }

    /// Runs a group and answers everybody; how many transactions were committed.
    pub(super) fn commit_group(&mut self, mut group: Vec<Box<dyn Command>>) -> u64 {
        group.retain(|command| !command.is_abandoned());
        if group.is_empty() {
            return 0;
        }
        let alone = group.len() == 1;
        let mut ended = self.attempt(&mut group, false);
        if matches!(ended, Err(Problem::Unwanted)) {
            ended = self.attempt(&mut group, true);
        }
        match ended {
            Ok(()) => {
                group.into_iter().for_each(|command| command.answer(Ok(())));
                1
            }
            Err(problem) if alone || self.dead || problem.is_for_all() => {
                let error = problem.into_error();
                group.into_iter().for_each(|command| command.answer(Err(error.clone())));
                0
            }
            Err(_) => group.into_iter().map(|command| self.commit_group(vec![command])).sum(),
        }
    }

    /// One transaction around all of them; `guarded` = each can be undone by itself.
    fn attempt(&mut self, group: &mut [Box<dyn Command>], guarded: bool) -> Result<(), Problem> {
        let strict = group.iter().any(|c| c.durability() == Durability::Strict);
        self.begin(if strict { Durability::Strict } else { Durability::Relaxed })?;
        let alone = group.len() == 1;
        for command in group {
            if guarded {
                self.under_savepoint(command.as_mut())?;
                continue;
            }
            let keep = command.run(&self.connection);
            if self.connection.is_autocommit() {
                return Err(Problem::Undone);
            }
            if !keep {
                self.undo();
                return if alone { Ok(()) } else { Err(Problem::Unwanted) };
            }
        }
        self.end()
    }

    fn under_savepoint(&self, command: &mut dyn Command) -> Result<(), Problem> {
        self.say("SAVEPOINT command")?;
        let keep = command.run(&self.connection);
        if self.connection.is_autocommit() {
            return Err(Problem::Undone);
        }
        if !keep {
            self.say("ROLLBACK TO command")?;
        }
        self.say("RELEASE command")
    }

    /// Takes the write lock, waiting for other processes.
    pub(super) fn begin(&mut self, durability: Durability) -> Result<(), Problem> {
        if self.dead {
            return Err(Problem::Refused(lost_sync()));
        }
        if durability != self.synchronous {
            let level = if durability == Durability::Strict { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", level).map_err(Problem::Sqlite)?;
            self.synchronous = durability;
        }
        let end = Instant::now() + LOCK_LIMIT;
        loop {
            match self.say("BEGIN IMMEDIATE") {
                Err(Problem::Sqlite(e)) if is_busy(&e) && Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                begun => return begun,
            }
        }
    }

    /// Commits; on an error the transaction is undone.
    pub(super) fn end(&mut self) -> Result<(), Problem> {
        // What is committed into a file that nobody finds any more is lost.
        let ended = self.place.check().map_err(Problem::Refused).and_then(|()| self.say("COMMIT"));
        if let Err(problem) = &ended {
            if let Problem::Sqlite(e) = problem {
                self.dead |= is_lost_sync(e);
            }
            self.undo();
        }
        ended
    }

    /// Rolls back if a transaction is open.
    pub(super) fn undo(&self) {
        if !self.connection.is_autocommit()
            && let Err(Problem::Sqlite(error)) = self.say("ROLLBACK")
        {
            tracing::error!(%error, "a SQLite transaction could not be rolled back");
        }
    }

    fn say(&self, text: &str) -> Result<(), Problem> {
        let mut prepared = self.connection.prepare_cached(text).map_err(Problem::Sqlite)?;
        prepared.execute([]).map(drop).map_err(Problem::Sqlite)
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.undo();
    }
}

/// Why a transaction did not happen.
#[derive(Debug)]
pub(super) enum Problem {
    Sqlite(rusqlite::Error),
    /// SQLite undid it by itself in the middle.
    Undone,
    /// One command wants to be undone, and the group had no savepoints.
    Unwanted,
    Refused(StoreError),
}

impl Problem {
    /// No command of the group would fare better alone.
    fn is_for_all(&self) -> bool {
        match self {
            Self::Sqlite(e) => is_busy(e),
            Self::Refused(_) => true,
            Self::Undone | Self::Unwanted => false,
        }
    }

    pub(super) fn into_error(self) -> StoreError {
        match self {
            Self::Sqlite(e) => fault(e),
            Self::Undone | Self::Unwanted => {
                StoreError::Unavailable("SQLite undid the transaction; is the disk full?".into())
            }
            Self::Refused(error) => error,
        }
    }
}

fn lost_sync() -> StoreError {
    StoreError::Unavailable(
        "the disk did not confirm an earlier write, so nothing is written any more; check the disk and restart".into(),
    )
}
