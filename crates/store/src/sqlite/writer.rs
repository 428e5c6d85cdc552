//! The writer thread: takes what waits, commits it as one group, answers.
//!
//! An open interactive transaction holds the thread; nobody else writes until it ends or its time is over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use backshift_core::StoreError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    batch::{Command, Committer},
    place::FilePlace,
};
use crate::Durability;

/// Commands in one group at most: bounds the time until the first is answered.
const GROUP: usize = 256;

/// What the thread is asked.
pub(super) enum Message {
    /// Takes part in the next group.
    Write(Box<dyn Command>),
    /// Looks at the connection outside any transaction.
    Peek(Box<dyn FnOnce(&Connection) + Send>),
    /// Holds the thread for an interactive transaction.
    Begin(Interactive),
    /// Ends the thread after what came before.
    Stop,
}

/// An interactive transaction and where its steps come from.
pub(super) struct Interactive {
    pub(super) durability: Durability,
    pub(super) limit: Duration,
    pub(super) steps: Receiver<Step>,
    pub(super) begun: oneshot::Sender<Result<(), StoreError>>,
}

/// One step of an interactive transaction.
pub(super) enum Step {
    Run(Box<dyn FnOnce(&Connection) + Send>),
    Commit(oneshot::Sender<Result<(), StoreError>>),
}

/// What the thread counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) commits: AtomicU64,
    pub(super) commands: AtomicU64,
}

/// The thread's body; ends when every handle is gone or after `Stop`.
pub(super) fn serve(
    connection: Connection,
    place: Arc<FilePlace>,
    inbox: &Receiver<Message>,
    counters: &Arc<Counters>,
) {
    let mut committer = Committer::new(connection, place);
    let mut next = None;
    loop {
        let Some(message) = next.take().or_else(|| inbox.recv().ok()) else { return };
        match message {
            Message::Write(first) => {
                let mut group = vec![first];
                while group.len() < GROUP {
                    match inbox.try_recv() {
                        Ok(Message::Write(command)) => group.push(command),
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                counters.commands.fetch_add(group.len() as u64, Ordering::Relaxed);
                counters.commits.fetch_add(committer.commit_group(group), Ordering::Relaxed);
            }
            Message::Peek(look) => look(&committer.connection),
            Message::Begin(transaction) => {
                let committed = interactive(&mut committer, transaction);
                counters.commits.fetch_add(committed.into(), Ordering::Relaxed);
            }
            Message::Stop => return,
        }
    }
}

/// Serves one transaction to its end; whether it was committed.
fn interactive(committer: &mut Committer, transaction: Interactive) -> bool {
    let Interactive { durability, limit, steps, begun } = transaction;
    if begun.is_closed() {
        return false;
    }
    let ready = committer.begin(durability).map_err(super::batch::Problem::into_error);
    let ok = ready.is_ok();
    if begun.send(ready).is_err() || !ok {
        committer.undo();
        return false;
    }
    let end = Instant::now() + limit;
    loop {
        match steps.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(Step::Run(work)) => work(&committer.connection),
            Ok(Step::Commit(reply)) => {
                let ended = if committer.connection.is_autocommit() {
                    Err(StoreError::Unavailable("SQLite undid the transaction; is the disk full?".into()))
                } else {
                    committer.end().map_err(super::batch::Problem::into_error)
                };
                let committed = ended.is_ok();
                // Whoever asked may have gone: the commit stands all the same.
                let _ = reply.send(ended);
                return committed;
            }
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!(?limit, "a SQLite transaction was open for too long and was rolled back");
                committer.undo();
                return false;
            }
            Err(RecvTimeoutError::Disconnected) => {
                committer.undo();
                return false;
            }
        }
    }
}
