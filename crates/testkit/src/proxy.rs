//! A TCP proxy between a client and a real server, so that a test can cut, freeze and forbid connections.
//!
//! A cut loses what is on its way, as a network does; a killed client's last bytes still reach the server, as the
//! kernel sends what a dead process wrote.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};
use url::Url;

/// How connections end.
#[derive(Debug, Clone, Copy)]
enum End {
    /// What is on its way is lost.
    Cut,
    /// What the client wrote arrives.
    Killed,
}

/// A proxy to one server; dropped, it cuts everything.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    end: watch::Sender<End>,
    refuses: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `target`, such as `127.0.0.1:5672`.
    pub async fn start(target: impl Into<String>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (end, _) = watch::channel(End::Cut);
        let refuses = Arc::new(AtomicBool::new(false));
        let accepting = tokio::spawn(accept(listener, target.into(), end.clone(), Arc::clone(&refuses)));
        Ok(Self { address, end, refuses, accepting })
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
        self.end.send_replace(End::Cut);
    }

    /// Closes every connection and refuses new ones until [`Self::mend`].
    pub fn forbid(&self) {
        self.refuses.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Closes every connection as the death of the client's process does, and refuses new ones.
    pub fn kill(&self) {
        self.refuses.store(true, Ordering::SeqCst);
        self.end.send_replace(End::Killed);
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

async fn accept(listener: TcpListener, target: String, end: watch::Sender<End>, refuses: Arc<AtomicBool>) {
    while let Ok((client, _)) = listener.accept().await {
        if refuses.load(Ordering::SeqCst) {
            continue;
        }
        tokio::spawn(forward(client, target.clone(), end.subscribe()));
    }
}

async fn forward(client: TcpStream, target: String, mut end: watch::Receiver<End>) {
    end.mark_unchanged();
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((mut from_client, to_client), (from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let mut down = tokio::spawn(pump(from_server, to_client));
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = from_client.read(&mut buffer) => read,
            _ = end.changed() => break,
            _ = &mut down => break,
        };
        match read {
            Ok(count @ 1..) if to_server.write_all(&buffer[..count]).await.is_ok() => {}
            _ => break,
        }
    }
    if matches!(*end.borrow(), End::Killed) {
        while let Ok(count @ 1..) = from_client.try_read(&mut buffer) {
            if to_server.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    }
    let _ = to_server.shutdown().await;
    down.abort();
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    // Either side's end ends the other; what went wrong is the business of the two.
    let _ = tokio::io::copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
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
