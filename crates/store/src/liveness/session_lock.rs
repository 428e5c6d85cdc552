//! PostgreSQL: a session advisory lock on a connection of its own; the server frees it when the process dies.
//!
//! After a restart of the server every lock is free for a moment, so nobody is called dead in its first seconds. A lock that is
//! lost is taken again, unless somebody else has it then: no connection is opened again and again for a name that is taken.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use backshift_core::{StoreError, WorkerName, store::Liveness};
use sha2::{Digest, Sha256};
use tokio::{task::JoinHandle, time::Instant};

use super::taken;
use crate::{
    Database,
    postgres::{Pg, Session},
};

/// How long a lock is waited for that a killed predecessor, or our own lost connection, has on the server.
const PREDECESSOR: Duration = Duration::from_secs(5);

/// The lock and the task that takes it again after a lost connection.
pub(super) struct SessionLock {
    stands: Arc<AtomicBool>,
    keeper: JoinHandle<()>,
}

impl Liveness for SessionLock {
    fn stands(&self) -> bool {
        self.stands.load(Ordering::Acquire)
    }
}

impl Drop for SessionLock {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

pub(super) async fn take(pg: Pg, worker: &WorkerName) -> Result<SessionLock, StoreError> {
    let key = key_of(&pg.home().await?, worker);
    let session = wait_for(&pg, key).await?.ok_or_else(|| taken(worker))?;
    let stands = Arc::new(AtomicBool::new(true));
    let keeper = tokio::spawn(keep(pg, key, session, Arc::clone(&stands)));
    Ok(SessionLock { stands, keeper })
}

/// Ends when somebody else has the name: a later announcement of this process, which has a keeper of its own, or another
/// process, which the next announcement meets.
async fn keep(pg: Pg, key: i64, mut session: Session, stands: Arc<AtomicBool>) {
    loop {
        session.lost().await;
        stands.store(false, Ordering::Release);
        tracing::warn!("the connection with this worker's sign of life was lost; taking it again");
        let mut pause = Duration::from_millis(50);
        session = loop {
            match wait_for(&pg, key).await {
                Ok(Some(session)) => break session,
                Ok(None) => return,
                Err(error) => tracing::debug!(%error, "the sign of life could not be taken again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        };
        stands.store(true, Ordering::Release);
    }
}

/// A session that holds the lock; `None` = somebody else does, and keeps it. One session asks, however often.
async fn wait_for(pg: &Pg, key: i64) -> Result<Option<Session>, StoreError> {
    let session = pg.session().await?;
    let end = Instant::now() + PREDECESSOR;
    loop {
        let answer = session.ask(&format!("SELECT pg_try_advisory_lock({key})"), pg.deadline()).await?;
        if answer.as_deref() == Some("t") {
            return Ok(Some(session));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The workers whose lock nobody holds. A lock's 64 bits are two columns of `pg_locks`.
pub(super) async fn free(db: &Database, names: &[WorkerName]) -> Result<Vec<WorkerName>, StoreError> {
    const FREE: &str = "SELECT w.key FROM unnest($1::bigint[]) AS w(key) \
        WHERE now() - pg_postmaster_start_time() > interval '15 seconds' AND NOT EXISTS (\
        SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted \
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
        AND ((l.classid::bigint << 32) | l.objid::bigint) = w.key)";
    let Some(pg) = db.as_pg() else { return Ok(Vec::new()) };
    let home = pg.home().await?;
    let by_key: HashMap<i64, &WorkerName> = names.iter().map(|name| (key_of(&home, name), name)).collect();
    let keys: Vec<i64> = by_key.keys().copied().collect();
    let free: Vec<i64> = db.sql(FREE).column(keys).all().await?;
    Ok(free.iter().filter_map(|key| by_key.get(key)).map(|name| (*name).clone()).collect())
}

/// The server tells locks apart by database; the schema tells apart the sites of one database.
fn key_of(home: &str, worker: &WorkerName) -> i64 {
    let digest = Sha256::digest(format!("backshift worker {worker} of schema {home}").as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}
