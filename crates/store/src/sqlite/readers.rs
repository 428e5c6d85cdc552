//! Connections that only read, beside the writer.
//!
//! Each read sees everything that was committed before it began; one that takes too long is interrupted.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backshift_core::StoreError;
use rusqlite::Connection;
use tokio::{sync::Semaphore, time::Instant};

use super::{connection, place::FilePlace};

/// A bounded set of reading connections, opened when first needed.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    place: Arc<FilePlace>,
    idle: Arc<Mutex<Vec<Connection>>>,
    places: Arc<Semaphore>,
    deadline: Duration,
}

impl Readers {
    pub(super) fn new(path: PathBuf, place: Arc<FilePlace>, count: usize, deadline: Duration) -> Self {
        let places = Arc::new(Semaphore::new(count.max(1)));
        Self { path, place, idle: Arc::default(), places, deadline }
    }

    /// Runs a closure on one of them, on a blocking thread.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let end = Instant::now() + self.deadline;
        let permit = tokio::time::timeout_at(end, Arc::clone(&self.places).acquire_owned())
            .await
            .map_err(|_| self.late())?
            .map_err(|_| StoreError::Unavailable("this database handle was closed".into()))?;
        let idle = Arc::clone(&self.idle);
        let connection = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (path, place) = (self.path.clone(), Arc::clone(&self.place));
        let (handed, handle) = tokio::sync::oneshot::channel();
        let mut task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = match connection {
                Some(connection) => connection,
                None => {
                    let fresh = connection::reader(&path)?;
                    // Else it would read another file than the writer writes.
                    place.check()?;
                    fresh
                }
            };
            let _ = handed.send(connection.get_interrupt_handle());
            let answer = work(&connection);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            answer
        });
        if let Ok(joined) = tokio::time::timeout_at(end, &mut task).await {
            return joined
                .unwrap_or_else(|_| Err(StoreError::Rejected("a closure on a reader panicked".into())));
        }
        if let Ok(handle) = handle.await {
            handle.interrupt();
        }
        Err(self.late())
    }

    /// Refuses further reads and closes what is idle.
    pub(super) fn close(&self) {
        self.places.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn late(&self) -> StoreError {
        StoreError::Unavailable(format!("SQLite did not answer within {:?} (a read)", self.deadline))
    }
}
