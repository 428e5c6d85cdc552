//! The handle of a SQLite file: queues for the writer, readers, counters.
//!
//! Several processes may open the same file; each has its own writer thread and SQLite's lock decides.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::Ordering,
        mpsc::{Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use backshift_core::StoreError;
use rusqlite::Connection;
use tokio::{
    sync::{Semaphore, oneshot},
    time::Instant,
};

use super::{
    SqliteTx,
    batch::Closure,
    connection,
    place::FilePlace,
    readers::Readers,
    statement,
    writer::{Counters, Interactive, Message, serve},
};
use crate::{Durability, Options, Row, query::Statement};

/// Calls that may wait for the writer at once: bounds the memory of a stalled disk.
const WAITING: usize = 4096;

/// A SQLite file. Cheap to clone.
#[derive(Clone)]
pub struct Sqlite(Arc<Inner>);

struct Inner {
    path: PathBuf,
    place: Arc<FilePlace>,
    inbox: Sender<Message>,
    places: Semaphore,
    readers: Readers,
    counters: Arc<Counters>,
    thread: Mutex<Option<JoinHandle<()>>>,
    deadline: Duration,
    durability: Durability,
    transaction_limit: Duration,
}

/// What the writer thread did since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterStats {
    /// Transactions that were committed.
    pub commits: u64,
    /// Commands that were taken into groups.
    pub commands: u64,
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.0.path).finish_non_exhaustive()
    }
}

/// The file that a `sqlite:` or `embedded:` URL names.
pub fn path_of(url: &str) -> Result<PathBuf, StoreError> {
    let rest = url.split_once(':').map_or(url, |(_, rest)| rest);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !matches!(query, "" | "mode=rwc" | "mode=rw") {
        return Err(StoreError::Rejected(format!(
            "the parameter {query:?} of the SQLite URL is not known; write sqlite:PATH"
        )));
    }
    if path.is_empty() || path == ":memory:" || path.contains('\0') {
        return Err(StoreError::Rejected("a SQLite URL needs a file: sqlite:PATH or embedded:PATH".into()));
    }
    Ok(PathBuf::from(path))
}

impl Sqlite {
    /// Opens the file, makes it when there is none and that is wanted, and starts its writer thread.
    pub fn open(path: &Path, options: &Options) -> Result<Self, StoreError> {
        FilePlace::approach(path, options.create)?;
        let connection = connection::writer(path)?;
        let place = Arc::new(FilePlace::opened(path));
        let watched = Arc::clone(&place);
        let counters = Arc::new(Counters::default());
        let (inbox, messages) = channel();
        let counted = Arc::clone(&counters);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || serve(connection, watched, &messages, &counted))
            .map_err(|e| StoreError::Unavailable(format!("the writer thread cannot be started: {e}")))?;
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            inbox,
            places: Semaphore::new(WAITING),
            readers: Readers::new(path.to_owned(), Arc::clone(&place), options.readers, options.deadline),
            place,
            counters,
            thread: Mutex::new(Some(thread)),
            deadline: options.deadline,
            durability: options.durability,
            transaction_limit: options.transaction_limit,
        })))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The path that every path to this file shares.
    pub(crate) fn canonical_path(&self) -> &Path {
        self.0.place.canonical()
    }

    /// Whether the path still leads to the file that is open.
    pub(crate) fn still_there(&self) -> Result<(), StoreError> {
        self.0.place.check()
    }

    /// Runs a closure on the writer thread inside a transaction that it may share with others (group commit); it
    /// is answered after the commit. An error undoes what the closure did. It may run more than once.
    pub async fn write<T, F>(&self, durability: Durability, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let durability = durability.at_least(self.0.durability);
        let command = Closure { durability, work, outcome: None, reply };
        self.answered(Message::Write(Box::new(command)), answer).await
    }

    /// Runs a closure on a reading connection.
    pub async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.0.readers.read(work).await
    }

    /// Runs a closure on the writer's connection outside any transaction.
    pub(crate) async fn peek<T, F>(&self, look: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let look = Message::Peek(Box::new(move |connection| {
            let _ = reply.send(look(connection));
        }));
        self.answered(look, answer).await
    }

    /// What the writer did.
    pub fn stats(&self) -> WriterStats {
        WriterStats {
            commits: self.0.counters.commits.load(Ordering::Relaxed),
            commands: self.0.counters.commands.load(Ordering::Relaxed),
        }
    }

    pub(crate) async fn begin(&self, durability: Durability) -> Result<SqliteTx, StoreError> {
        let (steps, received) = channel();
        let (begun, answer) = oneshot::channel();
        let limit = self.0.transaction_limit;
        let durability = durability.at_least(self.0.durability);
        let transaction = Interactive { durability, limit, steps: received, begun };
        self.answered(Message::Begin(transaction), answer).await?;
        Ok(SqliteTx::new(steps, limit))
    }

    pub(crate) async fn execute(&self, statement: Statement) -> Result<(Vec<Row>, u64), StoreError> {
        if statement.columns.is_empty() && statement::is_read(&statement.text) {
            return self.read(move |connection| statement::execute(connection, &statement)).await;
        }
        let durability = statement.durability;
        self.write(durability, move |connection| statement::execute(connection, &statement)).await
    }

    pub(crate) async fn close(&self) {
        self.0.readers.close();
        self.0.places.close();
        let _ = self.0.inbox.send(Message::Stop);
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    /// Sends to the writer and waits for its answer, both within the deadline. Whoever gives up is skipped.
    async fn answered<T>(
        &self,
        message: Message,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Unavailable("this database handle was closed".into());
        let end = Instant::now() + self.0.deadline;
        let exchange = async {
            let _place = self.0.places.acquire().await.map_err(|_| closed())?;
            self.0.inbox.send(message).map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        };
        tokio::time::timeout_at(end, exchange).await.unwrap_or_else(|_| Err(self.late()))
    }

    fn late(&self) -> StoreError {
        StoreError::Unavailable(format!(
            "the writer of {} did not answer within {:?}: the disk is slow, another process holds the file, or a \
             transaction is open (a task that holds one must write through it)",
            self.0.path.display(),
            self.0.deadline
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_files() {
        for (url, path) in [
            ("sqlite:a.db", "a.db"),
            ("embedded:/var/x/a.db", "/var/x/a.db"),
            ("sqlite:///var/a.db", "/var/a.db"),
            ("sqlite://a.db?mode=rwc", "a.db"),
        ] {
            assert_eq!(path_of(url).unwrap(), PathBuf::from(path), "{url}");
        }
        for url in ["sqlite:", "sqlite::memory:", "sqlite:a?cache=shared", "embedded://"] {
            assert!(path_of(url).is_err(), "{url}");
        }
    }
}
