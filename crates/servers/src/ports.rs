//! Ports for servers and processes under test, below the range that the kernel gives to outgoing connections: any client's
//! source port may sit there by the time the server binds.
//!
//! A port stays taken as long as the process that drew it lives, also while its server is down: another test's server
//! would sit there when the first one comes back.

use std::{
    io,
    net::{TcpListener, UdpSocket},
    sync::atomic::{AtomicU16, Ordering},
};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens on and that no other test was given, of this process or another.
///
/// # Errors
/// All 12,000 are taken.
pub fn free_port() -> io::Result<u16> {
    let begin = (std::process::id() % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let port = FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        // The UDP port of the same number is the lock: the end of the process frees it, however it ends.
        let Ok(lock) = UdpSocket::bind(("127.0.0.1", port)) else { continue };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            std::mem::forget(lock);
            return Ok(port);
        }
    }
    Err(io::Error::other("no port between 20000 and 32000 is free"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_never_drawn() {
        let next = u32::from(NEXT.load(Ordering::Relaxed)) + std::process::id() % u32::from(COUNT);
        let port = |n: u16| FIRST + ((next + u32::from(n)) % u32::from(COUNT)) as u16;
        let listeners: Vec<_> =
            (0..60).filter_map(|n| TcpListener::bind(("127.0.0.1", port(n))).ok()).collect();
        let used: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert!((0..60).all(|_| !used.contains(&free_port().unwrap())));
    }

    #[test]
    fn a_port_is_drawn_once_though_nobody_listens_there() {
        let mut drawn: Vec<u16> = (0..100).map(|_| free_port().unwrap()).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 100);
        assert!(drawn.iter().all(|port| UdpSocket::bind(("127.0.0.1", *port)).is_err()));
    }
}
