//! A TCP proxy between a client and a real server, so that a test can cut, freeze, slow and forbid connections, or
//! stop one exactly between two messages.
//!
//! A cut loses what is on its way, as a network does; a killed client's last bytes still reach the server, as the
//! kernel sends what a dead process wrote. A half-open connection looks alive to both sides and moves nothing.

mod relay;
mod trap;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use url::Url;

pub use trap::{Hold, Trap, Trapped};

/// How connections end.
#[derive(Debug, Clone, Copy)]
enum End {
    /// What is on its way is lost.
    Cut,
    /// What the client wrote arrives.
    Killed,
}

/// What the way is like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Weather {
    /// Bytes pass at once.
    #[default]
    Clear,
    /// Nothing passes and nobody is told.
    HalfOpen,
    /// Every piece of at most `piece` bytes takes this long.
    Slow { piece: usize, each: Duration },
}

/// What every connection of a proxy looks at.
#[derive(Clone)]
struct Way {
    end: watch::Sender<End>,
    weather: watch::Sender<Weather>,
    traps: trap::Traps,
}

/// A proxy to one server; dropped, it cuts everything.
pub struct Proxy {
    address: SocketAddr,
    way: Way,
    refuses: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `target`, such as `127.0.0.1:5672`.
    pub async fn start(target: impl Into<String>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (end, _) = watch::channel(End::Cut);
        let (weather, _) = watch::channel(Weather::Clear);
        let way = Way { end, weather, traps: trap::Traps::default() };
        let refuses = Arc::new(AtomicBool::new(false));
        let accepting = tokio::spawn(accept(listener, target.into(), way.clone(), Arc::clone(&refuses)));
        Ok(Self { address, way, refuses, accepting })
    }

    /// A proxy to the server of this URL, and the URL that leads through it.
    ///
    /// # Panics
    /// When the URL has no host and port, or no port is free: a test cannot go on then.
    pub async fn before(url: &str) -> (Self, String) {
        let mut url = Url::parse(url).expect("the server's address is a URL");
        let target = (url.host_str(), url.port());
        let (Some(host), Some(port)) = target else { panic!("the test server's URL names host and port") };
        let proxy = Self::start(format!("{host}:{port}")).await.expect("a port is free");
        url.set_host(Some("127.0.0.1")).expect("an address can be a host");
        url.set_port(Some(proxy.address.port())).expect("a server's URL has a port");
        (proxy, url.into())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection; new ones are forwarded again.
    pub fn cut(&self) {
        self.way.end.send_replace(End::Cut);
    }

    /// Closes every connection and refuses new ones until [`Self::mend`].
    pub fn forbid(&self) {
        self.refuses.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Closes every connection as the death of the client's process does, and refuses new ones.
    pub fn kill(&self) {
        self.refuses.store(true, Ordering::SeqCst);
        self.way.end.send_replace(End::Killed);
    }

    /// Moves nothing in either direction and closes nothing, until [`Self::mend`] or a cut; what was written
    /// meanwhile arrives then. New connections are accepted and hang in the same way.
    pub fn half_open(&self) {
        self.way.weather.send_replace(Weather::HalfOpen);
    }

    /// Lets pieces of at most `piece` bytes through, each after this pause, in both directions, until [`Self::mend`].
    pub fn slow(&self, piece: usize, each: Duration) {
        self.way.weather.send_replace(Weather::Slow { piece: piece.max(1), each });
    }

    /// Forwards new connections again, and everything at once.
    pub fn mend(&self) {
        self.refuses.store(false, Ordering::SeqCst);
        self.way.weather.send_replace(Weather::Clear);
    }

    /// Sets a trap: the next connection whose client sends what the trap waits for is held right there, for ever,
    /// and nobody is told. Other connections go on. Meant for a kill at a named point.
    pub fn trap(&self, trap: Trap) -> Trapped {
        self.way.traps.set(trap)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: String, way: Way, refuses: Arc<AtomicBool>) {
    while let Ok((client, _)) = listener.accept().await {
        if refuses.load(Ordering::SeqCst) {
            continue;
        }
        tokio::spawn(connect(client, target.clone(), way.clone()));
    }
}

async fn connect(client: TcpStream, target: String, way: Way) {
    let mut end = way.end.subscribe();
    end.mark_unchanged();
    let mut weather = way.weather.subscribe();
    let reachable = async {
        let _ = weather.wait_for(|now| *now != Weather::HalfOpen).await;
        TcpStream::connect(target).await
    };
    let server = tokio::select! { server = reachable => server, _ = end.changed() => return };
    if let Ok(server) = server {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        relay::both_ways(client, server, &way, end).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{
        pace,
        wait::{self, PATIENCE},
    };

    const SOON: Duration = Duration::from_millis(100);

    /// A proxy to a server that says everything back.
    async fn to_an_echo() -> Proxy {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = server.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = server.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        Proxy::start(target.to_string()).await.unwrap()
    }

    async fn hears(client: &mut TcpStream, expected: &[u8]) -> bool {
        let mut answer = vec![0; expected.len()];
        let read = wait::within(PATIENCE, client.read_exact(&mut answer)).await;
        matches!(read, Some(Ok(_))) && answer == expected
    }

    /// Whether nothing comes for a while.
    async fn hears_nothing(client: &mut TcpStream) -> bool {
        tokio::time::timeout(SOON, client.read_u8()).await.is_err()
    }

    #[tokio::test]
    async fn a_half_open_connection_moves_nothing_until_it_is_mended() {
        let proxy = to_an_echo().await;
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        client.write_all(b"ping").await.unwrap();
        assert!(hears(&mut client, b"ping").await);
        proxy.half_open();
        client.write_all(b"pong").await.unwrap();
        let mut other = TcpStream::connect(proxy.address()).await.unwrap();
        other.write_all(b"late").await.unwrap();
        assert!(hears_nothing(&mut client).await, "a half-open connection still answers");
        proxy.mend();
        assert!(hears(&mut client, b"pong").await && hears(&mut other, b"late").await);
    }

    #[tokio::test]
    async fn a_slow_way_takes_its_time() {
        let proxy = to_an_echo().await;
        proxy.slow(2, Duration::from_millis(20));
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let begun = Instant::now();
        client.write_all(b"slowly").await.unwrap();
        let mut answer = [0; 6];
        client.read_exact(&mut answer).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(60), "six bytes took {:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_trap_holds_one_connection_before_or_after_its_message() {
        let proxy = to_an_echo().await;
        let mut clients = Vec::new();
        for hold in [Hold::Before, Hold::After] {
            let trapped = proxy.trap(Trap::new(b"COMMIT", hold));
            let mut client = TcpStream::connect(proxy.address()).await.unwrap();
            client.write_all(b"BEGIN;COM").await.unwrap();
            assert!(hears(&mut client, b"BEGIN;COM").await, "a part of the message is none");
            assert!(!trapped.is_sprung());
            client.write_all(b"MIT").await.unwrap();
            assert!(trapped.sprung(pace::stretched(PATIENCE)).await, "{hold:?} was not reached");
            assert!(hears_nothing(&mut client).await, "{hold:?} lets the answer through");
            clients.push(client);
        }
        let mut free = TcpStream::connect(proxy.address()).await.unwrap();
        free.write_all(b"COMMIT").await.unwrap();
        assert!(hears(&mut free, b"COMMIT").await, "a trap springs once");
    }

    #[tokio::test]
    async fn forwards_until_it_is_cut_and_refuses_while_forbidden() {
        let proxy = to_an_echo().await;
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let mut answer = [0; 4];
        client.write_all(b"ping").await.unwrap();
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"ping");
        proxy.forbid();
        assert!(!matches!(client.read(&mut answer).await, Ok(1..)), "a cut connection still answers");
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(!matches!(refused.read(&mut answer).await, Ok(1..)), "a forbidden connection answers");
        proxy.mend();
        let mut again = TcpStream::connect(proxy.address()).await.unwrap();
        again.write_all(b"pong").await.unwrap();
        again.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"pong");
    }
}
