//! HTTP/2 answers whose window a client never opens: they end in bounded time, whatever it does beside, and hold little.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::StatusCode,
    routing::get,
};
use backshift_http::{Shape, server::finish};
use backshift_testkit::wait::within;
use futures::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    connections::until,
    h2,
    port::{PATIENCE, ended, only, rest, start},
};

const SHORT: Duration = Duration::from_millis(300);
const LARGE: usize = 1 << 20;
const WORD: Result<&str, Infallible> = Ok("word");

/// Counts how much of the answers is alive.
struct Alive(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Alive {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0.len(), Ordering::SeqCst);
    }
}

/// `/large` of a mebibyte, `/nothing` without a body, `/stream` with a word at once and then never another one.
fn answers(alive: &Arc<AtomicUsize>) -> Router {
    let alive = Arc::clone(alive);
    let large = move || {
        alive.fetch_add(LARGE, Ordering::SeqCst);
        let bytes = Bytes::from_owner(Alive(vec![b'y'; LARGE], Arc::clone(&alive)));
        async { Body::from(bytes) }
    };
    let quiet = || async { Body::from_stream(stream::once(async { WORD }).chain(stream::pending())) };
    let router = Router::new().route("/large", get(large)).route("/stream", get(quiet));
    finish(router.route("/nothing", get(|| async { StatusCode::NO_CONTENT })), Shape::Problem)
}

/// Asks for what has no body again and again, so that the connection is never idle, until the server ends it.
async fn ask_for_nothing(mut stream: TcpStream, mut id: u32) {
    let (mut read, mut write) = stream.split();
    let asking = async {
        while write.write_all(&h2::get(id, "/nothing")).await.is_ok() {
            id += 2;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let reading = async {
        let mut all = [0; 4096];
        while read.read(&mut all).await.is_ok_and(|bytes| bytes > 0) {}
    };
    let either = async {
        tokio::select! { () = asking => {}, () = reading => {} }
    };
    within(PATIENCE, either).await.expect("the server ends the connection");
}

async fn begin(server: &crate::port::Running, window: u32, path: &str) -> TcpStream {
    let mut stream = server.open("").await;
    stream.write_all(&h2::start_with_window(window)).await.unwrap();
    stream.write_all(&h2::get(1, path)).await.unwrap();
    stream
}

#[tokio::test]
async fn an_answer_without_a_window_ends_its_connection_however_busy_that_is() {
    let alive = Arc::new(AtomicUsize::new(0));
    let server = start(answers(&alive), only(|times| times.answer = SHORT)).await;
    // With a window of one byte the whole answer was handed over, and the handler's side of it is gone.
    for (window, path) in [(0, "/large"), (1, "/large"), (0, "/stream"), (3, "/stream")] {
        ask_for_nothing(begin(&server, window, path).await, 3).await;
    }
    // Nothing of the answers is kept.
    until(|| alive.load(Ordering::SeqCst) == 0).await;
}

/// What was taken is our turn again: a page that listens for changes hears nothing for hours.
#[tokio::test]
async fn a_stream_of_changes_that_is_taken_may_be_quiet() {
    let alive = Arc::new(AtomicUsize::new(0));
    let server = start(answers(&alive), only(|times| (times.answer, times.idle) = (SHORT, SHORT))).await;
    let mut quiet = begin(&server, 65_535, "/stream").await;
    // Somebody else whom the same times end meanwhile: they have passed twice.
    for _ in 0..2 {
        ended(&mut begin(&server, 0, "/large").await).await;
    }
    quiet.write_all(&h2::PING).await.unwrap();
    let mut all = Vec::new();
    let pong = async {
        while !h2::frames(&all).iter().any(|(kind, _, _)| *kind == 6) {
            assert!(quiet.read_buf(&mut all).await.unwrap() > 0, "the connection lives");
        }
    };
    within(PATIENCE, pong).await.expect("the connection answers");
}

#[tokio::test]
async fn answers_that_are_not_taken_hold_little_whatever_connections_they_are_on() {
    let alive = Arc::new(AtomicUsize::new(0));
    let server = start(answers(&alive), only(|_| {})).await;
    let mut crowd = Vec::new();
    for _ in 0..4 {
        let mut stream = server.from("127.0.0.2", "").await;
        stream.write_all(&h2::start_with_window(0)).await.unwrap();
        for n in 0..16 {
            stream.write_all(&h2::get(2 * n + 1, "/large")).await.unwrap();
        }
        crowd.push(stream);
    }
    let ask = "GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let full = async {
        loop {
            let answer = rest(&mut server.from("127.0.0.2", ask).await).await;
            if answer.starts_with("HTTP/1.1 503") {
                return answer;
            }
        }
    };
    let answer = within(PATIENCE, full).await.expect("its network has its share");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    let honest = rest(&mut server.from("127.0.0.1", ask).await).await;
    assert!(honest.starts_with("HTTP/1.1 200") && honest.len() > LARGE);
    // All sixty-four were asked for by now, or are refused when they are: nine are more than the share in any case.
    assert!(alive.load(Ordering::SeqCst) <= 9 * LARGE, "{}", alive.load(Ordering::SeqCst));
    drop(crowd);
    let again =
        async { while !rest(&mut server.from("127.0.0.2", ask).await).await.starts_with("HTTP/1.1 200") {} };
    within(PATIENCE, again).await.expect("who has gone holds nothing");
}
