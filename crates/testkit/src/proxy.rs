//! A TCP proxy between a client and a real server, so that a test can cut, freeze and forbid connections.
//!
//! Cutting closes both sides at once, as the death of a process or a restart of a server does.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use url::Url;

/// A proxy to one server; dropped, it cuts everything.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    generation: watch::Sender<u64>,
    refuses: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `target`, such as `127.0.0.1:5672`.
    pub async fn start(target: impl Into<String>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (generation, _) = watch::channel(0);
        let refuses = Arc::new(AtomicBool::new(false));
        let accepting =
            tokio::spawn(accept(listener, target.into(), generation.clone(), Arc::clone(&refuses)));
        Ok(Self { address, generation, refuses, accepting })
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
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// Closes every connection and refuses new ones until [`Self::mend`].
    pub fn forbid(&self) {
        self.refuses.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Forwards new connections again.
    pub fn mend(&self) {
        self.refuses.store(false, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: String,
    generation: watch::Sender<u64>,
    refuses: Arc<AtomicBool>,
) {
    while let Ok((client, _)) = listener.accept().await {
        if refuses.load(Ordering::SeqCst) {
            continue;
        }
        let (target, mut cut) = (target.clone(), generation.subscribe());
        tokio::spawn(async move {
            let forwarding = forward(client, target);
            tokio::select! { () = forwarding => {}, _ = cut.changed() => {} }
        });
    }
}

async fn forward(mut client: TcpStream, target: String) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    // Either side's end ends the other; what went wrong is the business of the two.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn forwards_until_it_is_cut_and_refuses_while_forbidden() {
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
        let proxy = Proxy::start(target.to_string()).await.unwrap();
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
