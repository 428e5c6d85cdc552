//! What a port allows: places, sizes, times.
//!
//! The defaults bound what one network can hold: connections times the head, streams and open requests it may have.

use std::time::Duration;

use crate::client::Proxies;

/// The limits of a server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many connections may be open at once. When all are, the one that was waited for the longest makes room.
    pub connections: usize,
    /// How many of them one network may hold (a /24, a /64, one loopback address); trusted proxies are not counted.
    pub connections_per_network: usize,
    /// Further places in which only health probes are answered, for when every other place is at work.
    pub probes: usize,
    /// How many requests of one network are worked at once; further ones wait, and far more are answered with 429.
    pub requests_per_network: usize,
    /// How many requests one HTTP/2 connection may have open.
    pub streams: u32,
    /// How many requests of one connection may be given up by the client before it is closed (HTTP/2 rapid reset);
    /// each answered one makes up for one.
    pub resets: u32,
    /// How many headers a request may have; more are answered with 431.
    pub headers: usize,
    /// The largest request head in bytes.
    pub head_bytes: usize,
    /// The largest request body in bytes; a larger one is answered with 413.
    pub body_bytes: usize,
    /// How long things may take.
    pub times: Times,
    /// Who may say who the client is.
    pub proxies: Proxies,
}

/// How long a client may take, and how long we do at the end.
#[derive(Debug, Clone)]
pub struct Times {
    /// For the first byte after the connection stands.
    pub first_byte: Duration,
    /// For a whole request head: the first one from the start, later ones from their first byte.
    pub head: Duration,
    /// For a request body.
    pub body: Duration,
    /// For taking an answer; one that is read slowly gets a second more for each KiB read.
    pub answer: Duration,
    /// Between two requests. An HTTP/2 ping is not a request. Longer than the minute that proxies keep connections.
    pub idle: Duration,
    /// How long requests may take to end once the server is told to stop.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_network: 256,
            probes: 16,
            requests_per_network: 32,
            streams: 32,
            resets: 50,
            headers: 100,
            head_bytes: 16 * 1024,
            body_bytes: 256 * 1024,
            times: Times::default(),
            proxies: Proxies::default(),
        }
    }
}

impl Limits {
    /// A port that shows health alone, such as a worker's: few places, and nothing slow is waited for.
    pub fn of_probes() -> Self {
        let (short, grace) = (Duration::from_secs(2), Duration::from_secs(1));
        let times = Times { first_byte: short, head: short, body: short, grace, ..Times::default() };
        Self { connections: 64, connections_per_network: 16, body_bytes: 1024, times, ..Self::default() }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(5),
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            answer: Duration::from_secs(20),
            idle: Duration::from_secs(75),
            grace: Duration::from_secs(10),
        }
    }
}
