//! Requests that a client sends ahead of their answers, by the thousand: they cost their own network its turn and nobody else's.
//! What counts is an order and no time.

use std::sync::{Arc, atomic::AtomicUsize};

use backshift_http::server::Limits;
use tokio::{net::TcpStream, sync::Semaphore};

use crate::{
    connections::{GET_AND_CLOSE, at_work},
    port::{Running, only, rest, start},
};

/// On one thread nothing is answered while the test writes: the whole flood is there before the honest request.
#[tokio::test]
async fn what_one_network_sends_ahead_is_answered_in_turn_with_others() {
    const AHEAD: usize = 50;
    let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    for flood in [
        "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n",
        "DELETE / HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        for slots in [1, 4] {
            let limits = Limits { requests_per_network: slots, ..only(|_| {}) };
            let server = start(at_work(&begun, &gate), limits).await;
            let mut crowd = Vec::new();
            for _ in 0..100 {
                crowd.push(server.from("127.0.0.2", "").await);
            }
            let mut honest = server.from("127.0.0.1", "").await;
            until_accepted(&server).await;
            let ahead = flood.repeat(AHEAD);
            for stream in &crowd {
                assert_eq!(stream.try_write(ahead.as_bytes()).unwrap(), ahead.len());
            }
            honest.try_write(GET_AND_CLOSE.as_bytes()).unwrap();
            assert!(rest(&mut honest).await.ends_with("hello"));
            let answered: usize = crowd.iter().map(answers).sum();
            // Each connection may have had one whose turn was over, and some more were within the gate.
            assert!(
                answered < 100 * AHEAD / 10,
                "{answered} answers to {flood:?} came before, of {slots} slots"
            );
        }
    }
}

/// Everybody who came before is accepted.
async fn until_accepted(server: &Running) {
    assert!(server.ask(GET_AND_CLOSE).await.ends_with("hello"));
}

/// How many answers have come by now.
fn answers(stream: &TcpStream) -> usize {
    let (mut all, mut piece) = (Vec::new(), [0; 65536]);
    while let Ok(bytes @ 1..) = stream.try_read(&mut piece) {
        all.extend_from_slice(&piece[..bytes]);
    }
    String::from_utf8_lossy(&all).matches("HTTP/1.1 ").count()
}
