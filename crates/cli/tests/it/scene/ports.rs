//! Ports for the processes under test, below the range that the kernel gives to outgoing connections.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU16, Ordering},
};

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens on and that no other test of this process was given.
pub(crate) fn free_port() -> u16 {
    let begin = u16::try_from(std::process::id() % 11_000).unwrap();
    for _ in 0..11_000 {
        let port = 20_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % 11_000) % 11_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port between 20000 and 31000 is free");
}
