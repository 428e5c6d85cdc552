//! The besiegers. Each holds one connection, does what its kind does, and comes again when it is sent away.
//!
//! They are paced: a besieger that came again at once would measure how fast this machine opens sockets.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    honest::{Ask, connect, request},
    server::Server,
};

/// How long a besieger rests between two connections, and between two bytes.
const PACE: Duration = Duration::from_secs(1);
/// How many networks they come from.
const NETWORKS: usize = 8;
/// Besiegers of the kinds that do not wait but work.
const WORKING: usize = 64;
/// Those who ask as much as they are let: networks, and connections of each, which is as many as one may hold.
const BUSY: (usize, usize) = (4, 256);
/// Requests that one of these sends before it has read an answer.
const AHEAD: usize = 8;
/// Those who ask for what is answered at once: connections, all of one network, and the requests that each sends ahead.
const PIPELINED: (usize, usize) = (200, 50);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A way to do harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Says nothing.
    Silent,
    /// A request head, byte by byte.
    SlowHead,
    /// A request body, byte by byte.
    SlowBody,
    /// The first half of a TLS greeting.
    Tls,
    /// Half an HTTP/2 preface.
    HalfPreface,
    /// An HTTP/2 connection that had a request, and pings.
    H2Idle,
    /// HTTP/2 streams, opened and reset.
    H2Reset,
    /// Asks again and again and reads nothing.
    Unread,
    /// Registers account after account.
    Register,
    /// Asks without waiting for answers, and reads them all: four networks with as many connections as they may hold.
    Busy,
    /// Sends ahead many requests that wait for nothing (metrics, health, no such page), from one network.
    Pipelined,
    /// Says nothing, on the port of a worker's health.
    SilentProbes,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Silent,
        Self::SlowHead,
        Self::SlowBody,
        Self::Tls,
        Self::HalfPreface,
        Self::H2Idle,
        Self::H2Reset,
        Self::Unread,
        Self::Register,
        Self::Busy,
        Self::Pipelined,
        Self::SilentProbes,
    ];

    /// Its name on the command line and in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::SlowHead => "slow-head",
            Self::SlowBody => "slow-body",
            Self::Tls => "tls",
            Self::HalfPreface => "half-preface",
            Self::H2Idle => "h2-idle",
            Self::H2Reset => "h2-reset",
            Self::Unread => "unread",
            Self::Register => "register",
            Self::Busy => "busy",
            Self::Pipelined => "pipelined",
            Self::SilentProbes => "silent-probes",
        }
    }

    /// Whether this is worth measuring while it goes on.
    pub(super) fn hurts(self, ask: Ask) -> bool {
        match ask {
            Ask::Health => self == Self::SilentProbes,
            Ask::Plans => self != Self::SilentProbes,
            Ask::Login => matches!(self, Self::Register | Self::Silent | Self::Busy),
        }
    }

    /// How many there are of so many, and from how many networks.
    fn ranks(self, clients: usize) -> (usize, usize) {
        match self {
            Self::Busy => (clients.min(BUSY.0 * BUSY.1), BUSY.0),
            Self::Pipelined => (clients.min(PIPELINED.0), 1),
            Self::H2Reset | Self::Unread | Self::Register => (clients.min(WORKING), NETWORKS),
            _ => (clients, NETWORKS),
        }
    }
}

impl FromStr for Attack {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|attack| attack.name() == text)
            .ok_or_else(|| format!("no attack {text:?}"))
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The besiegers of one attack.
pub(super) struct Ranks {
    besiegers: JoinSet<()>,
    connections: Arc<AtomicU64>,
    wanted: u64,
}

impl Ranks {
    pub(super) fn muster(attack: Attack, server: Arc<Server>, clients: usize) -> Self {
        let (count, networks) = attack.ranks(clients);
        let connections = Arc::new(AtomicU64::new(0));
        let mut besiegers = JoinSet::new();
        for n in 0..count {
            let (server, connections) = (Arc::clone(&server), Arc::clone(&connections));
            let source = Ipv4Addr::new(127, 66, (n % networks) as u8, 1);
            besiegers.spawn(async move {
                // They come over a second, not in one heap.
                tokio::time::sleep(PACE.mul_f64((n as f64) / (count as f64))).await;
                loop {
                    let _ = besiege(attack, source, &server, &connections, n as u64).await;
                    tokio::time::sleep(PACE).await;
                }
            });
        }
        Self { besiegers, connections, wanted: count as u64 }
    }

    /// Waits until all have come once.
    pub(super) async fn stand(&self, patience: Duration) {
        super::until(patience.max(PACE * 3), async || self.connections() >= self.wanted).await;
    }

    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) async fn disperse(mut self) {
        self.besiegers.shutdown().await;
    }
}

async fn besiege(
    attack: Attack,
    source: Ipv4Addr,
    server: &Server,
    connections: &AtomicU64,
    number: u64,
) -> io::Result<()> {
    let to: SocketAddr = if attack == Attack::SilentProbes { server.probes } else { server.address };
    let mut stream = connect(source, to).await?;
    let came = connections.fetch_add(1, Ordering::Relaxed);
    let (head, drip): (Vec<u8>, Option<&[u8]>) = match attack {
        Attack::Silent | Attack::SilentProbes => (Vec::new(), None),
        Attack::Tls => (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x17\x2a".to_vec(), None),
        Attack::HalfPreface => (PREFACE[..14].to_vec(), None),
        Attack::SlowHead => (b"GET /api/v1/plans HTTP/1.1\r\nhost: x\r\nx: ".to_vec(), Some(b"y")),
        Attack::SlowBody => {
            let login = request("POST", "/api/v1/authentication/login", &" ".repeat(1000), "keep-alive");
            (login.into_bytes()[..200].to_vec(), Some(b" "))
        }
        Attack::H2Idle => ([PREFACE, &get(1)].concat(), Some(b"\0\0\x08\x06\0\0\0\0\x0012345678")),
        Attack::H2Reset => return reset(stream).await,
        Attack::Unread => return unread(stream).await,
        Attack::Busy => {
            let ask = request("GET", "/api/v1/plans/page?limit=1", "", "keep-alive");
            return busy(stream, &ask.repeat(AHEAD)).await;
        }
        Attack::Pipelined => {
            let path = ["/metrics", "/healthz", "/nowhere"][number as usize % 3];
            return busy(stream, &request("GET", path, "", "keep-alive").repeat(PIPELINED.1)).await;
        }
        Attack::Register => return register(stream, (number << 32) | came).await,
    };
    stream.write_all(&head).await?;
    let (mut read, mut write) = stream.split();
    let gone = async {
        let mut rest = [0; 4096];
        while read.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {}
    };
    let dripping = async {
        let Some(piece) = drip else { return std::future::pending().await };
        while write.write_all(piece).await.is_ok() {
            tokio::time::sleep(PACE).await;
        }
    };
    tokio::select! {
        () = gone => {}
        () = dripping => {}
    }
    Ok(())
}

/// `GET /api/v1/plans` as an HTTP/2 stream (RFC 9113 §6.2, RFC 7541 by hand).
fn get(stream: u32) -> Vec<u8> {
    const BLOCK: &[u8] = b"\x82\x86\x41\x01x\x04\x0d/api/v1/plans";
    let head = [0, 0, BLOCK.len() as u8, 1, 5];
    [&head[..], &stream.to_be_bytes(), BLOCK].concat()
}

/// Opens and resets streams in bursts, as fast as it is let.
async fn reset(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(PREFACE).await?;
    for burst in 0_u32.. {
        let frames = |n: u32| {
            let id = 2 * n + 1;
            [&get(id)[..], &[0, 0, 4, 3, 0], &id.to_be_bytes(), &8_u32.to_be_bytes()].concat()
        };
        let all: Vec<u8> = (burst * 10..burst * 10 + 10).flat_map(frames).collect();
        stream.write_all(&all).await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Asks until the socket takes no more, and then waits.
async fn unread(mut stream: TcpStream) -> io::Result<()> {
    let ask = request("GET", "/api/v1/plans", "", "keep-alive");
    loop {
        stream.write_all(ask.as_bytes()).await?;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Asks again and again, several times before the first answer is read: the server works as fast as it can.
async fn busy(mut stream: TcpStream, asks: &str) -> io::Result<()> {
    let (mut read, mut write) = stream.split();
    let asking = async {
        loop {
            write.write_all(asks.as_bytes()).await?;
            tokio::time::sleep(PACE).await;
        }
    };
    let reading = async {
        let mut answers = [0; 4096];
        while read.read(&mut answers).await? > 0 {}
        Ok(())
    };
    tokio::select! {
        ended = asking => ended,
        ended = reading => ended,
    }
}

/// One account after another, a moment after each answer: as many as all of them send saturate any number of hashes,
/// and the besiegers leave the machine to the server.
async fn register(mut stream: TcpStream, number: u64) -> io::Result<()> {
    let mut answer = [0; 4096];
    for n in 0.. {
        let body =
            format!(r#"{{"email":"flood{number}-{n}@example.com","password":"correct horse battery"}}"#);
        let ask = request("POST", "/api/v1/authentication/register", &body, "keep-alive");
        stream.write_all(ask.as_bytes()).await?;
        if stream.read(&mut answer).await? == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
