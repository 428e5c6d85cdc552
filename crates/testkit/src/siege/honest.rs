//! The honest client: it asks, waits for the answer, and asks again, each time on a connection of its own.
//!
//! A new connection each time, because to get in is what an attack makes hard. It comes from two networks in turn.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::server::Server;

/// An answer that takes longer counts as none.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);
const ACCOUNT: &str = r#"{"email":"honest@example.com","password":"correct horse battery"}"#;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// A list from the database.
    Plans,
    /// A password to be checked, which costs a hash.
    Login,
    /// The health of a worker, on its own port.
    Health,
}

impl Ask {
    pub(super) const ALL: [Self; 3] = [Self::Plans, Self::Login, Self::Health];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plans => "plans",
            Self::Login => "login",
            Self::Health => "health",
        }
    }
}

/// How long answers took.
#[derive(Debug, Clone, Default)]
pub struct Times {
    sorted: Vec<Duration>,
    /// Requests without the right answer.
    pub failed: usize,
}

impl Times {
    /// How many answers there were.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The time below which this part of the answers came.
    pub fn percentile(&self, part: f64) -> Duration {
        let last = self.sorted.len().saturating_sub(1);
        let index = (self.sorted.len() as f64 * part) as usize;
        self.sorted.get(index.min(last)).copied().unwrap_or(PATIENCE)
    }
}

/// The client.
#[derive(Debug)]
pub(super) struct Honest(Arc<Server>);

impl Honest {
    /// With an account.
    pub(super) async fn new(server: Arc<Server>) -> io::Result<Self> {
        let path = "/api/v1/authentication/register";
        match exchange(Ipv4Addr::LOCALHOST, server.address, "POST", path, ACCOUNT).await? {
            200 => Ok(Self(server)),
            status => Err(io::Error::other(format!("the honest client cannot register: {status}"))),
        }
    }

    /// Asks for so long.
    pub(super) async fn asks(&self, ask: Ask, time: Duration) -> Times {
        let mut times = Times::default();
        let begun = Instant::now();
        for n in 0.. {
            let source = if n % 2 == 0 { Ipv4Addr::LOCALHOST } else { Ipv4Addr::new(127, 77, 0, 1) };
            let asked = Instant::now();
            match self.once(ask, source).await {
                Ok(()) => times.sorted.push(asked.elapsed()),
                Err(_) => times.failed += 1,
            }
            if begun.elapsed() > time {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        times.sorted.sort_unstable();
        times
    }

    async fn once(&self, ask: Ask, source: Ipv4Addr) -> io::Result<()> {
        let (address, method, path, body, wanted) = match ask {
            Ask::Plans => (self.0.address, "GET", "/api/v1/plans/page?limit=1", "", 200),
            // The account is not confirmed: a right password is told so, by a business error.
            Ask::Login => (self.0.address, "POST", "/api/v1/authentication/login", ACCOUNT, 400),
            Ask::Health => (self.0.probes, "GET", "/healthz", "", 200),
        };
        match exchange(source, address, method, path, body).await? {
            status if status == wanted => Ok(()),
            status => Err(io::Error::other(format!("answered {status}"))),
        }
    }
}

/// A connection from this address.
pub(super) async fn connect(source: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    socket.connect(to).await
}

/// The status of one request on a connection of its own.
pub(super) async fn exchange(
    source: Ipv4Addr,
    to: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> io::Result<u16> {
    let asking = async {
        let mut stream = connect(source, to).await?;
        stream.write_all(request(method, path, body, "close").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let text = String::from_utf8_lossy(&answer);
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        status.ok_or_else(|| io::Error::other("no HTTP answer"))
    };
    timeout(PATIENCE, asking).await?
}

/// One request of HTTP/1.1.
pub(super) fn request(method: &str, path: &str, body: &str, connection: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: {connection}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
