//! A proxy before the server that can cut, mute, and say what the server says only when it is in trouble.
//!
//! It follows the frames of the server's side, so that an injected frame never lands inside another one.

use std::sync::{Arc, Mutex};

use backshift_brokers::rabbitmq::{Config, Options, RabbitMqBroker};
use backshift_testkit::ports::free_port;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Mutex as AsyncMutex, watch},
    task::JoinHandle,
};

use super::site::Site;

pub(super) struct Proxy {
    port: u16,
    muted: watch::Sender<bool>,
    clients: Arc<AsyncMutex<Vec<Arc<Client>>>>,
    tasks: Arc<Mutex<Vec<Tasks>>>,
    accepting: JoinHandle<()>,
}

/// What carries one connection.
struct Tasks {
    up: JoinHandle<()>,
    down: JoinHandle<()>,
}

/// The side towards the client; whoever holds the lock writes a whole frame.
struct Client(AsyncMutex<tokio::net::tcp::OwnedWriteHalf>);

impl Proxy {
    pub(super) async fn start(url: &str) -> Self {
        let url = url::Url::parse(url).unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let listener = listen().await;
        let port = listener.local_addr().unwrap().port();
        let (muted, hears) = watch::channel(false);
        let clients = Arc::new(AsyncMutex::new(Vec::new()));
        let tasks = Arc::new(Mutex::new(Vec::new()));
        let (their_clients, their_tasks) = (clients.clone(), tasks.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(upstream) = TcpStream::connect(&server).await else { continue };
                let (from_client, to_client) = stream.into_split();
                let (from_server, to_server) = upstream.into_split();
                let client = Arc::new(Client(AsyncMutex::new(to_client)));
                their_clients.lock().await.push(client.clone());
                let up = tokio::spawn(bytes(from_client, to_server));
                let down = tokio::spawn(frames(from_server, client, hears.clone()));
                their_tasks.lock().unwrap().push(Tasks { up, down });
            }
        });
        Self { port, muted, clients, tasks, accepting }
    }

    pub(super) fn url(&self, site: &Site) -> String {
        let mut url = url::Url::parse(&site.url).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.into()
    }

    pub(super) fn broker(&self, site: &Site) -> RabbitMqBroker {
        RabbitMqBroker::new(Config::from_url(&self.url(site), Options::default()).unwrap(), Vec::new())
    }

    /// Ends all connections as a pulled cable with a reset does.
    pub(super) fn cut(&self) {
        self.tasks.lock().unwrap().drain(..).for_each(|task| {
            task.up.abort();
            task.down.abort();
        });
        if let Ok(mut clients) = self.clients.try_lock() {
            clients.clear();
        }
    }

    pub(super) fn close_for_good(&self) {
        self.accepting.abort();
        self.cut();
    }

    /// Holds back what the server says; new connections hear nothing either.
    pub(super) fn mute(&self, muted: bool) {
        self.muted.send_replace(muted);
    }

    /// `connection.blocked`, as under a memory or disk alarm.
    pub(super) async fn block(&self, reason: &str) {
        let mut payload = vec![0, 10, 0, 60, u8::try_from(reason.len()).unwrap()];
        payload.extend(reason.as_bytes());
        self.inject(&payload).await;
    }

    pub(super) async fn unblock(&self) {
        self.inject(&[0, 10, 0, 61]).await;
    }

    async fn inject(&self, payload: &[u8]) {
        let mut frame = vec![1, 0, 0];
        frame.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        frame.extend(payload);
        frame.push(0xCE);
        for client in self.clients.lock().await.iter() {
            let _ = client.0.lock().await.write_all(&frame).await;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close_for_good();
    }
}

/// Listens on a port of its own.
pub(super) async fn listen() -> TcpListener {
    TcpListener::bind(("127.0.0.1", free_port().unwrap())).await.unwrap()
}

async fn bytes(mut client: tokio::net::tcp::OwnedReadHalf, mut server: tokio::net::tcp::OwnedWriteHalf) {
    let _ = tokio::io::copy(&mut client, &mut server).await;
}

async fn frames(
    mut server: tokio::net::tcp::OwnedReadHalf,
    client: Arc<Client>,
    mut muted: watch::Receiver<bool>,
) {
    let mut header = [0; 7];
    while server.read_exact(&mut header).await.is_ok() {
        let size = u32::from_be_bytes([header[3], header[4], header[5], header[6]]) as usize;
        let mut frame = header.to_vec();
        frame.resize(7 + size + 1, 0);
        if server.read_exact(&mut frame[7..]).await.is_err() || muted.wait_for(|muted| !muted).await.is_err()
        {
            return;
        }
        if client.0.lock().await.write_all(&frame).await.is_err() {
            return;
        }
    }
    let _ = client.0.lock().await.shutdown().await;
}
