//! The life of a connection on a real socket, by one who attacks: what is slow or silent ends, and nobody else waits.

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
    routing::{get, post},
};
use backshift_http::{
    Shape,
    client::Proxies,
    health::{self, Check, Health, Readiness, Shown},
    server::{Limits, finish},
};
use backshift_testkit::wait::within;
use futures::{FutureExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Semaphore, oneshot},
    time::timeout,
};

use crate::{
    h2,
    port::{PATIENCE, ended, only, rest, start},
    server::speaker,
};

const SHORT: Duration = Duration::from_millis(200);
const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
pub(crate) const GET_AND_CLOSE: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

fn hello() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/read", post(|body: Bytes| async move { body }))
}

/// Writes a piece again and again until the server ends the connection.
async fn drip(stream: TcpStream, piece: &[u8]) {
    let (mut read, mut write) = stream.into_split();
    let dripping = async {
        while write.write_all(piece).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let reading = async {
        let mut all = Vec::new();
        let _ = read.read_to_end(&mut all).await;
    };
    let either = async {
        tokio::select! {
            () = dripping => {}
            () = reading => {}
        }
    };
    within(PATIENCE, either).await.expect("the server ends the connection");
}

#[tokio::test]
async fn a_silent_connection_ends() {
    let server = start(hello(), only(|times| times.first_byte = SHORT)).await;
    assert!(ended(&mut server.open("").await).await.is_empty());
}

#[tokio::test]
async fn half_a_head_half_a_preface_and_a_lone_frame_end() {
    let server = start(hello(), only(|times| times.head = SHORT)).await;
    for begun in
        ["G", "GET / HTTP/1.1\r\nhost: x\r\n", "P", "PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        ended(&mut server.open(begun).await).await;
    }
}

#[tokio::test]
async fn a_head_that_drips_ends_the_first_time_and_later() {
    let server = start(hello(), only(|times| times.head = SHORT)).await;
    drip(server.open("GET / HTTP/1.1\r\nx: ").await, b"y").await;
    drip(server.open(&format!("{GET}GET / HTTP/1.1\r\nx: ")).await, b"y").await;
    drip(server.open("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await, &h2::PING).await;
}

#[tokio::test]
async fn what_looks_like_tls_or_nothing_ends() {
    let server = start(hello(), only(|times| times.head = SHORT)).await;
    for bytes in [
        &b"\x16"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0\0",
        b"\r\n\r\n",
        b"SSH-2.0-x\r\n",
    ] {
        let mut stream = server.open("").await;
        stream.write_all(bytes).await.unwrap();
        ended(&mut stream).await;
    }
}

#[tokio::test]
async fn a_connection_without_a_further_request_ends_whatever_it_pings() {
    let server = start(hello(), only(|times| times.idle = SHORT)).await;
    let mut http1 = server.open(GET).await;
    assert!(ended(&mut http1).await.ends_with(b"hello"));
    let mut stream = server.open("").await;
    stream.write_all(&h2::start()).await.unwrap();
    stream.write_all(&h2::get(1, "/")).await.unwrap();
    drip(stream, &h2::PING).await;
}

#[tokio::test]
async fn requests_that_are_given_up_again_and_again_end_the_connection() {
    let begun = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&begun);
    let forever = move || {
        seen.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<&'static str>()
    };
    let limits = Limits { resets: 10, ..only(|_| {}) };
    let server = start(Router::new().route("/", get(forever)), limits).await;
    let mut stream = server.open("").await;
    stream.write_all(&h2::start()).await.unwrap();
    let attack = async {
        for n in 0.. {
            // Each is given up after its handler began, so that it is no mere burst that HTTP/2 itself refuses.
            let id = 2 * n + 1;
            if stream.write_all(&h2::get(id, "/")).await.is_err() {
                return n;
            }
            while begun.load(Ordering::SeqCst) <= n as usize {
                let ended = timeout(Duration::from_millis(5), stream.read(&mut [0; 1024])).await;
                if let Ok(Ok(0) | Err(_)) = ended {
                    return n;
                }
            }
            if stream.write_all(&h2::reset(id)).await.is_err() {
                return n;
            }
        }
        0
    };
    let given_up = within(PATIENCE, attack).await.expect("the server ends the connection");
    assert!((11..=16).contains(&given_up), "{given_up}");
}

#[tokio::test]
async fn a_burst_of_resets_ends_the_connection() {
    let server = start(hello(), only(|_| {})).await;
    let mut stream = server.open("").await;
    stream.write_all(&h2::start()).await.unwrap();
    let burst: Vec<u8> =
        (0..500).flat_map(|n| [h2::get(2 * n + 1, "/"), h2::reset(2 * n + 1)].concat()).collect();
    let _ = stream.write_all(&burst).await;
    ended(&mut stream).await;
}

/// An answer without end, and a sign of when the server let go of it.
fn endless() -> (Router, oneshot::Receiver<()>) {
    let (alive, gone) = oneshot::channel::<()>();
    let alive = Arc::new(std::sync::Mutex::new(Some(alive)));
    let handler = move || {
        let alive = alive.lock().unwrap().take();
        let chunks =
            stream::unfold(alive, |alive| async { Some((Ok::<_, Infallible>(vec![b'y'; 16384]), alive)) });
        async { Body::from_stream(chunks) }
    };
    (Router::new().route("/", get(handler)), gone)
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_taken_back() {
    let (router, gone) = endless();
    let server = start(router, only(|times| times.answer = SHORT)).await;
    let _stream = server.open(GET).await;
    let _ = within(PATIENCE, gone).await.expect("the server lets go");
}

#[tokio::test]
async fn an_answer_that_is_read_byte_by_byte_is_taken_back() {
    let (router, mut gone) = endless();
    let server = start(router, only(|times| times.answer = SHORT)).await;
    let mut stream = server.open(GET).await;
    let reading = async {
        while gone.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty) {
            let _ = stream.read(&mut [0; 1]).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(PATIENCE, reading).await.expect("the server lets go");
}

#[tokio::test]
async fn an_http2_client_that_opens_no_window_is_not_waited_for() {
    let (router, gone) = endless();
    let server = start(router, only(|times| (times.answer, times.body) = (SHORT, SHORT))).await;
    let mut stream = server.open("").await;
    stream.write_all(&h2::start_with_window(0)).await.unwrap();
    stream.write_all(&h2::get(1, "/")).await.unwrap();
    let _ = within(PATIENCE, gone).await.expect("the server lets go");
}

#[tokio::test]
async fn a_body_that_drips_or_never_ends_is_refused_before_any_handler() {
    let server = start(hello(), only(|times| times.body = SHORT)).await;
    let post = "POST /read HTTP/1.1\r\nhost: x\r\n";
    let mut dripping = server.open(&format!("{post}content-length: 1000\r\n\r\nabc")).await;
    assert!(ended(&mut dripping).await.starts_with(b"HTTP/1.1 408"));
    let mut large = server.open(&format!("{post}content-length: 262145\r\n\r\n")).await;
    assert!(ended(&mut large).await.starts_with(b"HTTP/1.1 413"));
    let server = start(hello(), only(|_| {})).await;
    let whole = server.ask(&format!("{post}connection: close\r\ncontent-length: 3\r\n\r\nabc")).await;
    assert!(whole.ends_with("abc"), "{whole}");
}

/// Most clients send everything before they read a byte.
#[tokio::test]
async fn who_sends_too_much_before_he_reads_learns_why_it_was_refused() {
    let server = start(hello(), only(|_| {})).await;
    let post = "POST /read HTTP/1.1\r\nhost: x\r\n";
    let chunk = [&b"4000\r\n"[..], &[b'x'; 0x4000], b"\r\n"].concat();
    let chunked = [chunk.repeat(128), b"0\r\n\r\n".to_vec()].concat();
    for (head, body) in [
        (format!("{post}content-length: {}\r\n\r\n", 3 << 20), vec![b'x'; 3 << 20]),
        (format!("{post}transfer-encoding: chunked\r\n\r\n"), chunked),
    ] {
        let mut stream = server.open(&head).await;
        within(PATIENCE, stream.write_all(&body)).await.unwrap().expect("the server reads it away");
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
}

#[tokio::test]
async fn who_is_waited_for_the_longest_makes_room() {
    let server = start(hello(), Limits { connections: 4, ..only(|_| {}) }).await;
    let mut kept = server.from("127.0.0.1", GET).await;
    let mut head = [0; 8];
    within(PATIENCE, kept.read_exact(&mut head)).await.unwrap().unwrap();
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(server.from("127.0.0.2", "").await);
    }
    for _ in 0..5 {
        let mut other = server.from("127.0.0.3", GET_AND_CLOSE).await;
        assert!(rest(&mut other).await.ends_with("hello"));
    }
    kept.write_all(GET_AND_CLOSE.as_bytes()).await.unwrap();
    assert!(rest(&mut kept).await.ends_with("hello"), "it was the crowd that made room");
    assert!(ended(&mut silent[0]).await.is_empty());
}

/// A runtime of one thread accepts nobody while the test holds it.
#[tokio::test]
async fn who_comes_while_nobody_accepts_is_not_dropped() {
    let server = start(hello(), only(|_| {})).await;
    server.ask(GET_AND_CLOSE).await;
    let (address, wait) = (server.address, Duration::from_millis(500));
    // Whom the system drops hears nothing for a second.
    let crowd = (0..300).map(|n| {
        std::net::TcpStream::connect_timeout(&address, wait).unwrap_or_else(|error| panic!("{n}: {error}"))
    });
    let crowd: Vec<_> = crowd.collect();
    assert!(server.ask(GET_AND_CLOSE).await.ends_with("hello"));
    drop(crowd);
}

#[tokio::test]
async fn a_network_has_its_share_and_the_others_theirs() {
    let limits = Limits { connections: 100, connections_per_network: 3, ..only(|_| {}) };
    let server = start(hello(), limits).await;
    let mut crowd = Vec::new();
    for _ in 0..4 {
        crowd.push(server.from("127.0.0.2", GET).await);
    }
    ended(&mut crowd[0]).await;
    let mut honest = server.from("127.0.0.1", GET_AND_CLOSE).await;
    assert!(rest(&mut honest).await.ends_with("hello"));
}

struct Fine;

#[async_trait::async_trait]
impl Readiness for Fine {
    async fn checks(&self) -> Vec<Check> {
        vec![Check::ok("database")]
    }
}

/// A handler that works until it is let go.
pub(crate) fn at_work(begun: &Arc<AtomicUsize>, gate: &Arc<Semaphore>) -> Router {
    let (begun, gate) = (Arc::clone(begun), Arc::clone(gate));
    let work = move || {
        let (begun, gate) = (Arc::clone(&begun), Arc::clone(&gate));
        async move {
            begun.fetch_add(1, Ordering::SeqCst);
            let _ = gate.acquire().await;
            "worked"
        }
    };
    let health = Health {
        service: "backshift",
        version: "1",
        readiness: Arc::new(Fine),
        metrics: Arc::new(|| async { String::new() }.boxed()),
        shown: Shown::Causes,
    };
    finish(
        Router::new().route("/work", get(work)).merge(hello()).merge(health::router(health)),
        Shape::Problem,
    )
}

pub(crate) async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(PATIENCE, waiting).await.expect("it comes true");
}

#[tokio::test]
async fn health_is_answered_when_every_place_is_at_work() {
    let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let server = start(at_work(&begun, &gate), Limits { connections: 2, ..only(|_| {}) }).await;
    let work = "GET /work HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut busy = vec![server.from("127.0.0.2", work).await, server.from("127.0.0.3", work).await];
    until(|| begun.load(Ordering::SeqCst) == 2).await;
    // A crowd without a word does not take the places kept for probes either.
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(server.from("127.0.0.2", "").await);
    }
    for path in ["/healthz", "/readyz", "/health", "/api/v1/live"] {
        let answer = server.ask(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    let answer = server.ask(GET).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after"), "{answer}");
    gate.add_permits(2);
    for stream in &mut busy {
        assert!(rest(stream).await.ends_with("worked"), "nobody who is worked for is sent away");
    }
}

#[tokio::test]
async fn a_network_s_requests_wait_for_each_other_and_for_nobody_else() {
    let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let limits = Limits { requests_per_network: 2, ..only(|_| {}) };
    let server = start(at_work(&begun, &gate), limits).await;
    let mut crowd = server.from("127.0.0.2", "").await;
    crowd.write_all(&h2::start()).await.unwrap();
    for n in 0..16 {
        crowd.write_all(&h2::get(2 * n + 1, "/work")).await.unwrap();
    }
    until(|| begun.load(Ordering::SeqCst) == 2).await;
    let mut honest = server.from("127.0.0.1", GET_AND_CLOSE).await;
    assert!(rest(&mut honest).await.ends_with("hello"));
    let mut more = server.from("127.0.0.2", GET_AND_CLOSE).await;
    let answer = rest(&mut more).await;
    assert!(answer.starts_with("HTTP/1.1 429"), "sixteen are open, which is all that it may have: {answer}");
    let probe = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = rest(&mut server.from("127.0.0.2", probe).await).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(begun.load(Ordering::SeqCst), 2);
    gate.add_permits(100);
    until(|| begun.load(Ordering::SeqCst) == 16).await;
}

#[tokio::test]
async fn a_request_in_the_line_of_its_network_keeps_nobody_s_place() {
    let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let limits = Limits { connections: 9, probes: 0, requests_per_network: 1, ..only(|_| {}) };
    let server = start(at_work(&begun, &gate), limits).await;
    let work = "GET /work HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut busy = vec![server.from("127.0.0.2", work).await];
    until(|| begun.load(Ordering::SeqCst) == 1).await;
    let mut in_line = Vec::new();
    for _ in 0..7 {
        in_line.push(server.from("127.0.0.2", work).await);
    }
    // A further one is refused as soon as all of these were read; until then it waits, and is taken back.
    let all_in_line = async {
        let mut answer = [0; 12];
        loop {
            let mut further = server.from("127.0.0.2", work).await;
            let read = timeout(Duration::from_millis(20), further.read_exact(&mut answer)).await;
            if matches!(read, Ok(Ok(_))) && &answer == b"HTTP/1.1 429" {
                return;
            }
        }
    };
    within(PATIENCE, all_in_line).await.expect("eight are open");
    busy.push(server.from("127.0.0.3", work).await);
    until(|| begun.load(Ordering::SeqCst) == 2).await;
    let mut honest = server.from("127.0.0.1", GET_AND_CLOSE).await;
    assert!(rest(&mut honest).await.ends_with("hello"), "there is a place for another network");
    assert!(ended(&mut in_line[0]).await.is_empty(), "the one that waited the longest made room");
    gate.add_permits(20);
    for stream in &mut busy {
        assert!(rest(stream).await.ends_with("worked"), "and nobody who is worked for");
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_client_is_whom_it_names() {
    let trusted = Proxies::new("127.0.0.1".parse().unwrap(), "x-forwarded-for".parse().unwrap());
    let limits = Limits { proxies: trusted, ..only(|_| {}) };
    let server = start(speaker(), limits).await;
    let send = "GET /client HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 6.6.6.6\r\n\
         x-forwarded-for: 203.0.113.9\r\nconnection: close\r\n\r\n";
    for (source, client) in [("127.0.0.1", "203.0.113.9"), ("127.0.0.2", "127.0.0.2")] {
        let answer = rest(&mut server.from(source, send).await).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(client), "{answer}");
    }
}

#[tokio::test]
async fn a_request_that_names_no_host_or_two_is_refused() {
    let server = start(hello(), only(|_| {})).await;
    for head in [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nhost: x\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n",
        "GET http://y/ HTTP/1.1\r\nhost: x\r\n",
        "GET / HTTP/1.1\r\nhost: user@x\r\n",
        "GET / HTTP/1.1\r\nhost: x:port\r\n",
    ] {
        let answer = server.ask(&format!("{head}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head} {answer}");
    }
    for head in
        ["GET http://x/ HTTP/1.1\r\nhost: X\r\n", "GET / HTTP/1.0\r\n", "GET / HTTP/1.1\r\nhost: x:80\r\n"]
    {
        let answer = server.ask(&format!("{head}connection: close\r\n\r\n")).await;
        assert!(answer.contains("200 OK"), "{head} {answer}");
    }
}
