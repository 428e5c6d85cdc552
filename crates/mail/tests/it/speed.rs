//! No mail waits for a delayed ACK: a thousand mails, counted in reads and compared with a raw loop.
//!
//! A stall is 40 ms a mail; a raw exchange takes about 0.05 ms. The factor between our client and the raw loop
//! is therefore below 20 or near 1,000, whatever the machine is doing.

use std::time::{Duration, Instant};

use backshift_mail::{Mailer as _, SmtpTransport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::mails::{message, options};
use crate::server::{Script, Server};

const MAILS: usize = 1_000;
const CONNECTIONS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_mails_do_not_stall() {
    // What stalls stalls each time; another process that takes the machine for a moment does not.
    let mut rounds = Vec::new();
    for _ in 0..5 {
        let (raw, ours) = (raw_loop().await, our_way().await);
        if ours < raw * 20 {
            return;
        }
        rounds.push((ours, raw));
    }
    panic!("{MAILS} mails by us and by the raw loop: {rounds:?}");
}

async fn our_way() -> Duration {
    let server = Server::start(Script::default()).await;
    let mut options = options(&server);
    options.max_connections = CONNECTIONS;
    options.max_messages = 10_000;
    let transport = SmtpTransport::new(options).unwrap();
    let start = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let transport = transport.clone();
        senders.spawn(async move {
            let message = message();
            for _ in 0..MAILS / CONNECTIONS {
                assert!(transport.send(&message).await.outcome.is_sent());
            }
        });
    }
    senders.join_all().await;
    let ours = start.elapsed();
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.mails.len(), MAILS);
    assert!(seen.connections <= CONNECTIONS);
    // Two writes a mail: the commands, then the body with its dot.
    assert!(seen.reads <= 2 * MAILS + MAILS / 5, "{} reads for {MAILS} mails", seen.reads);
    ours
}

/// The same bytes by hand, over one connection, with TCP_NODELAY.
async fn raw_loop() -> Duration {
    let server = Server::start(Script::default()).await;
    let mut tcp = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let body = [message().bytes(), b"\r\n.\r\n"].concat();
    until(&mut tcp, b"ESMTP\r\n").await;
    tcp.write_all(b"EHLO raw\r\n").await.unwrap();
    until(&mut tcp, b"8BITMIME\r\n").await;
    let start = Instant::now();
    for _ in 0..MAILS {
        tcp.write_all(b"MAIL FROM:<a@x.io>\r\nRCPT TO:<b@x.io>\r\nDATA\r\n").await.unwrap();
        until(&mut tcp, b"354 go on\r\n").await;
        tcp.write_all(&body).await.unwrap();
        until(&mut tcp, b"queued as 1\r\n").await;
    }
    start.elapsed()
}

async fn until(tcp: &mut TcpStream, end: &[u8]) {
    let mut seen = Vec::new();
    while !seen.ends_with(end) {
        let mut chunk = [0_u8; 1024];
        let read = tcp.read(&mut chunk).await.unwrap();
        assert!(read > 0);
        seen.extend_from_slice(&chunk[..read]);
    }
}
