//! How many requests of one network are open, worked at once, and how much memory their bodies hold.
//!
//! A connection is cheap and a request is not: behind a proxy, and with HTTP/2, one connection is many clients. So
//! requests are counted by the client's network, whatever connections they come on.
//!
//! What needs no waiting costs the others all the same: a connection full of requests would be answered from its first to its
//! last before anybody else has a turn. So each request, also one that is refused, passes through its network's gate, where
//! it gives way once: of all that a network sends, no more is in the way than the gate is wide.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::client::Network;

/// For each one that is worked so many may be open (waiting, or with a body on its way).
const OPEN_FOR_EACH: usize = 8;
/// The most that bodies on their way and at work may hold, and answers that are not taken: of one network, and in all.
const BODIES_OF_ONE: usize = 8 << 20;
const BODIES: usize = 64 << 20;
/// So much a network may always hold, whatever others hold: a login is far smaller.
const SMALL: usize = 8 << 10;
/// The same of answers: a list has some ten kilobytes.
const SMALL_ANSWERS: usize = 64 << 10;

/// The requests of all networks.
#[derive(Debug)]
pub(crate) struct Requests {
    at_once: usize,
    lines: Mutex<HashMap<Network, Arc<Line>>>,
    bodies: AtomicUsize,
}

/// The requests of one network.
#[derive(Debug)]
struct Line {
    here: AtomicUsize,
    open: AtomicUsize,
    bodies: AtomicUsize,
    gate: Semaphore,
    slots: Arc<Semaphore>,
}

/// One request that came, of this network.
#[derive(Debug)]
pub(crate) struct Guest {
    requests: Arc<Requests>,
    network: Network,
    line: Arc<Line>,
}

/// One open request; dropped when its answer is taken.
#[derive(Debug)]
pub(crate) struct Open {
    guest: Arc<Guest>,
    bytes: usize,
}

impl Requests {
    pub(crate) fn new(at_once: usize) -> Arc<Self> {
        Arc::new(Self { at_once: at_once.max(1), lines: Mutex::default(), bodies: AtomicUsize::new(0) })
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Network, Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more request of this network.
    pub(crate) fn come(self: &Arc<Self>, network: Network) -> Arc<Guest> {
        let mut lines = self.lines();
        let line = lines.entry(network).or_insert_with(|| {
            Arc::new(Line {
                here: AtomicUsize::new(0),
                open: AtomicUsize::new(0),
                bodies: AtomicUsize::new(0),
                gate: Semaphore::new(self.at_once),
                slots: Arc::new(Semaphore::new(self.at_once)),
            })
        });
        line.here.fetch_add(1, Ordering::Relaxed);
        Arc::new(Guest { requests: Arc::clone(self), network, line: Arc::clone(line) })
    }
}

impl Guest {
    /// To be worked for; `None` when its network has too many open.
    pub(crate) fn open(self: &Arc<Self>) -> Option<Open> {
        let most = self.requests.at_once.saturating_mul(OPEN_FOR_EACH);
        let more = |open| (open < most).then_some(open + 1);
        self.line.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Open { guest: Arc::clone(self), bytes: 0 })
    }

    /// Its place in the gate, when one is free at once.
    pub(crate) fn passes(&self) -> Option<SemaphorePermit<'_>> {
        self.line.gate.try_acquire().ok()
    }

    /// Waits for its place in the gate, behind those of its own network.
    pub(crate) async fn pass(&self) -> Option<SemaphorePermit<'_>> {
        self.line.gate.acquire().await.ok()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut lines = self.requests.lines();
        if self.line.here.fetch_sub(1, Ordering::Relaxed) == 1 {
            lines.remove(&self.network);
        }
    }
}

impl Open {
    /// Waits until it may be worked; first come, first served, within its network.
    pub(crate) async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed, so a missing permit cannot happen; without one nothing is limited.
        Arc::clone(&self.guest.line.slots).acquire_owned().await.ok()
    }

    /// Counts its answer instead of its body; false when too much waits to be taken already. One alone may have any size, and
    /// a small one is never refused: what it tells of has happened.
    pub(crate) fn answers(&mut self, bytes: usize) -> bool {
        self.lets_go();
        let own = self.guest.line.bodies.load(Ordering::Relaxed);
        self.holds(bytes) || own == 0 || bytes <= SMALL || own + bytes <= SMALL_ANSWERS
    }

    /// Its body is gone.
    fn lets_go(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.guest.line.bodies.fetch_sub(bytes, Ordering::Relaxed);
        self.guest.requests.bodies.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts bytes of its body or of its answer; false when these hold too much already.
    pub(crate) fn holds(&mut self, more: usize) -> bool {
        self.bytes += more;
        let own = self.guest.line.bodies.fetch_add(more, Ordering::Relaxed) + more;
        let all = self.guest.requests.bodies.fetch_add(more, Ordering::Relaxed) + more;
        own <= BODIES_OF_ONE && (all <= BODIES || own <= SMALL)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.lets_go();
        self.guest.line.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn network(ip: &str) -> Network {
        Network::of(ip.parse().unwrap())
    }

    #[tokio::test]
    async fn one_network_waits_for_itself_alone() {
        let requests = Requests::new(2);
        let crowd: Vec<Open> = (0..16).map(|_| requests.come(network("192.0.2.1")).open().unwrap()).collect();
        assert!(requests.come(network("192.0.2.99")).open().is_none(), "eight for each slot are open");
        let first = (crowd[0].slot().now_or_never().flatten(), crowd[1].slot().now_or_never().flatten());
        assert!(first.0.is_some() && first.1.is_some());
        assert!(crowd[2].slot().now_or_never().is_none());
        let honest = requests.come(network("198.51.100.1")).open().unwrap();
        assert!(honest.slot().now_or_never().flatten().is_some());
        drop(first);
        assert!(crowd[3].slot().now_or_never().is_some());
    }

    #[test]
    fn nothing_is_remembered_of_who_has_gone() {
        let requests = Requests::new(1);
        let mut open = requests.come(network("192.0.2.1")).open().unwrap();
        assert!(open.holds(1000));
        drop(open);
        assert!(requests.lines().is_empty());
        assert_eq!(requests.bodies.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn bodies_of_one_network_leave_room_for_others() {
        let requests = Requests::new(4);
        let mut open = requests.come(network("192.0.2.1")).open().unwrap();
        assert!(open.holds(BODIES_OF_ONE) && !open.holds(1));
        assert!(requests.come(network("198.51.100.1")).open().unwrap().holds(1000));
    }

    #[test]
    fn bodies_of_eight_networks_leave_room_for_what_is_small() {
        let requests = Requests::new(4);
        let crowd: Vec<Open> = (0..8)
            .map(|n| {
                let mut open = requests.come(network(&format!("192.0.{n}.1"))).open().unwrap();
                assert!(open.holds(BODIES_OF_ONE), "{n}");
                open
            })
            .collect();
        let mut ninth = requests.come(network("198.51.100.1")).open().unwrap();
        assert!(ninth.holds(SMALL), "a login, whatever others hold");
        assert!(!ninth.holds(1), "and no more than that while the others hold all");
        let mut second = requests.come(network("198.51.100.2")).open().unwrap();
        assert!(!second.holds(SMALL), "one network, one share");
        drop(crowd);
        assert!(second.holds(BODIES_OF_ONE / 2));
    }

    #[test]
    fn answers_that_nobody_takes_leave_room_for_those_of_others() {
        let requests = Requests::new(4);
        let open = |ip: &str| requests.come(network(ip)).open().unwrap();
        let mut large = open("192.0.2.1");
        assert!(large.holds(1000) && large.answers(3 * BODIES_OF_ONE), "one alone has any size");
        assert!(!open("192.0.2.1").answers(SMALL + 1), "and nothing beside it");
        assert!(open("192.0.2.1").answers(SMALL), "but for what is small");
        drop(large);
        let crowd: Vec<Open> = (0..8)
            .map(|n| {
                let mut open = open(&format!("192.0.{n}.1"));
                assert!(open.answers(BODIES_OF_ONE), "{n}");
                open
            })
            .collect();
        let mut list = open("198.51.100.1");
        assert!(list.answers(SMALL_ANSWERS - 1) && open("198.51.100.1").answers(1));
        assert!(!open("198.51.100.1").answers(SMALL + 1));
        drop((crowd, list));
        assert_eq!(requests.bodies.load(Ordering::Relaxed), 0);
    }
}
