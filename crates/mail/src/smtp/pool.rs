//! Connections kept for the next mail, and how many there may be at once.
//!
//! The number adapts: a 421 halves it, twenty delivered mails in a row give one back. Slots are counted apart
//! from connections, so a cancelled send frees its slot and closes its connection by being dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::connection::Connection;

/// Mails delivered in a row that earn one more connection after the pool was slowed.
const EARNS_ONE: u32 = 20;

/// Idle connections and slots.
pub(super) struct Pool {
    idle: Mutex<Idle>,
    slots: Arc<Semaphore>,
    pace: Arc<Mutex<Pace>>,
    idle_timeout: Duration,
    max_messages: u32,
}

#[derive(Default)]
struct Idle {
    connections: Vec<Connection>,
    reaping: bool,
}

struct Pace {
    max: usize,
    now: usize,
    /// Slots to withdraw as soon as somebody gives one back.
    debt: usize,
    delivered: u32,
}

/// The right to hold one connection.
pub(super) struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    pace: Arc<Mutex<Pace>>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut pace = lock(&self.pace);
        if pace.debt > 0
            && let Some(permit) = self.permit.take()
        {
            pace.debt -= 1;
            permit.forget();
        }
    }
}

impl Pool {
    pub(super) fn new(max: usize, idle_timeout: Duration, max_messages: u32) -> Self {
        Self {
            idle: Mutex::default(),
            slots: Arc::new(Semaphore::new(max)),
            pace: Arc::new(Mutex::new(Pace { max, now: max, debt: 0, delivered: 0 })),
            idle_timeout,
            max_messages,
        }
    }

    /// Waits for a slot; `None` once the pool is closed.
    pub(super) async fn slot(&self) -> Option<Slot> {
        let permit = self.slots.clone().acquire_owned().await.ok()?;
        Some(Slot { permit: Some(permit), pace: self.pace.clone() })
    }

    /// The connection used last, if it still looks alive.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        while let Some(mut connection) = idle.connections.pop() {
            if connection.idle_since.elapsed() < self.idle_timeout && !connection.stream.is_disturbed() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a sound connection for the next mail, or ends it when it has carried enough.
    pub(super) fn give_back(self: &Arc<Self>, mut connection: Connection) {
        if connection.used >= self.max_messages || self.slots.is_closed() {
            tokio::spawn(connection.quit());
            return;
        }
        connection.idle_since = Instant::now();
        let mut idle = lock(&self.idle);
        idle.connections.push(connection);
        if !idle.reaping {
            idle.reaping = true;
            tokio::spawn(reap(Arc::downgrade(self), self.idle_timeout));
        }
    }

    /// The server asked for less: half as many connections.
    pub(super) fn slow_down(&self) {
        let mut pace = lock(&self.pace);
        let now = (pace.now / 2).max(1);
        let withdrawn = pace.now - now;
        pace.debt += withdrawn - self.slots.forget_permits(withdrawn);
        pace.now = now;
        pace.delivered = 0;
    }

    /// A mail went through: twenty in a row give one connection back.
    pub(super) fn delivered(&self) {
        let mut pace = lock(&self.pace);
        if pace.now == pace.max {
            return;
        }
        pace.delivered += 1;
        if pace.delivered >= EARNS_ONE {
            pace.delivered = 0;
            pace.now += 1;
            match pace.debt {
                0 => self.slots.add_permits(1),
                _ => pace.debt -= 1,
            }
        }
    }

    /// How many connections there may be at once now.
    pub(super) fn width(&self) -> usize {
        lock(&self.pace).now
    }

    /// Takes no more mail and says goodbye on every idle connection.
    pub(super) async fn close(&self) {
        self.slots.close();
        let idle = std::mem::take(&mut lock(&self.idle).connections);
        for connection in idle {
            connection.quit().await;
        }
    }

    /// Idle connections whose time is over; stops the reaper when none is left.
    fn expired(&self) -> (Vec<Connection>, bool) {
        let mut idle = lock(&self.idle);
        let all = std::mem::take(&mut idle.connections);
        let (old, young): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|c| c.idle_since.elapsed() >= self.idle_timeout);
        idle.reaping = !young.is_empty();
        idle.connections = young;
        (old, idle.reaping)
    }
}

async fn reap(pool: Weak<Pool>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some((old, go_on)) = pool.upgrade().map(|pool| pool.expired()) else { return };
        for connection in old {
            connection.quit().await;
        }
        if !go_on {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{EARNS_ONE, Pool};

    #[tokio::test]
    async fn narrows_and_widens() {
        let pool = Pool::new(8, Duration::from_secs(1), 100);
        let mut held = Vec::new();
        for _ in 0..7 {
            held.push(pool.slot().await.unwrap());
        }
        pool.slow_down();
        assert_eq!((pool.width(), pool.slots.available_permits()), (4, 0));
        held.clear();
        assert_eq!(pool.slots.available_permits(), 4);
        for _ in 0..EARNS_ONE * 10 {
            pool.delivered();
        }
        assert_eq!((pool.width(), pool.slots.available_permits()), (8, 8));
        for _ in 0..10 {
            pool.slow_down();
        }
        assert_eq!((pool.width(), pool.slots.available_permits()), (1, 1));
        pool.close().await;
        assert!(pool.slot().await.is_none());
    }
}
