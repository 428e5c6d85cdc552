//! A server on a real socket, and clients of it at several loopback addresses.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use backshift_http::server::{self, Limits, Times};
use backshift_testkit::{ports::free_port, wait::within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) task: JoinHandle<std::io::Result<()>>,
}

pub(crate) async fn start(router: Router, limits: Limits) -> Running {
    let listener = TcpListener::bind(("127.0.0.1", free_port().unwrap())).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async move {
        let _ = stopped.await;
    };
    let task = tokio::spawn(server::serve(listener, router, limits, shutdown));
    Running { address, stop: Some(stop), task }
}

impl Running {
    pub(crate) async fn open(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// A client at this loopback address: of another network than the others.
    pub(crate) async fn from(&self, source: &str, text: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    pub(crate) async fn ask(&self, text: &str) -> String {
        let mut stream = self.open(text).await;
        rest(&mut stream).await
    }
}

pub(crate) async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    within(PATIENCE, stream.read_to_end(&mut all)).await.expect("the server answers and closes").unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

/// Only this time is short; what ends a connection early was this one.
pub(crate) fn only(set: impl Fn(&mut Times)) -> Limits {
    let (long, grace) = (Duration::from_secs(3600), Duration::from_millis(200));
    let mut times = Times { first_byte: long, head: long, body: long, answer: long, idle: long, grace };
    set(&mut times);
    Limits { times, ..Limits::default() }
}

/// Reads to the end, whether that is clean or not; the server ends it.
pub(crate) async fn ended(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = within(PATIENCE, stream.read_to_end(&mut all)).await.expect("the server ends the connection");
    all
}
