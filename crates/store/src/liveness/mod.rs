//! Signs of life that end with the process, so that a killed worker's jobs come back at once.
//!
//! Behind a transaction pooler there is no sign: only a worker that announced one may be asked about, else it
//! looks dead.

mod lock_file;
mod place;
mod session_lock;

use std::{sync::Arc, time::Duration};

use backshift_core::{StoreError, WorkerName, store::Liveness};

use crate::{Database, ledger::rescue};

/// A worker must look dead twice, this far apart: a connection that breaks and comes back is not a death.
const SECOND_LOOK: Duration = Duration::from_millis(700);

/// Shows that this worker lives, until dropped; `None` = only its leases can (a transaction pooler stands between).
///
/// # Errors
/// `Rejected` when another process of this name lives.
pub async fn sign(db: &Database, worker: &WorkerName) -> Result<Option<Arc<dyn Liveness>>, StoreError> {
    match db {
        Database::Pg(pg) if !pg.access().await?.direct => Ok(None),
        Database::Pg(pg) => Ok(Some(Arc::new(session_lock::take(pg.clone(), worker).await?))),
        Database::Sqlite(file) => {
            // Before the schema stands nothing runs and nothing is known.
            let holders = rescue::holders(db).await.ok();
            Ok(Some(Arc::new(lock_file::take(file, worker, holders.as_deref()).await?)))
        }
    }
}

/// Whether signs of life can be left beside this database; says before anything is begun what [`sign`] would say.
///
/// # Errors
/// `Unusable` when somebody else made their directory, or could change what lies there.
pub fn check(db: &Database) -> Result<(), StoreError> {
    match db {
        Database::Pg(_) => Ok(()),
        Database::Sqlite(file) => lock_file::look(file),
    }
}

/// Which of these workers are dead. Ask only about workers whose [`sign`] was given. A lock file that is missing is not proof:
/// whoever can delete one must not make others start what still runs.
pub async fn dead_workers(db: &Database, names: &[WorkerName]) -> Result<Vec<WorkerName>, StoreError> {
    let suspects = look(db, names).await?;
    if suspects.is_empty() {
        return Ok(suspects);
    }
    tokio::time::sleep(SECOND_LOOK).await;
    look(db, &suspects).await
}

async fn look(db: &Database, names: &[WorkerName]) -> Result<Vec<WorkerName>, StoreError> {
    match db {
        _ if names.is_empty() => Ok(Vec::new()),
        Database::Pg(_) => session_lock::free(db, names).await,
        Database::Sqlite(file) => {
            Ok(names.iter().filter(|name| lock_file::is_free(file, name)).cloned().collect())
        }
    }
}

fn taken(worker: &WorkerName) -> StoreError {
    StoreError::Rejected(format!(
        "a worker named {worker} runs already on this database; give each process a BACKSHIFT_WORKER_NAME of its own"
    ))
}
