//! The server on a real socket: slow clients, large heads, many connections, graceful end.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    routing::{get, post},
};
use backshift_http::{
    Shape,
    client::Client,
    json::{Form, Strict},
    server::{self, Limits, Times},
};
use backshift_testkit::{pace, wait::within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};

use crate::port::{PATIENCE, rest, start};

/// Answers `/slow` once it is told to, and says that it has begun.
fn slow(begun: Arc<Notify>, go_on: Arc<Notify>) -> Router {
    let handler = || async move {
        begun.notify_one();
        go_on.notified().await;
        "slow and done"
    };
    Router::new().route("/slow", get(handler))
}

/// Says whom the server takes for the client, and reads a JSON body.
pub(crate) fn speaker() -> Router {
    async fn client(request: Request) -> String {
        Client::of(request.extensions()).map_or("nobody".to_owned(), |ip| ip.to_string())
    }
    async fn body(Strict(Body {}): Strict<Body>) {}
    let router = Router::new().route("/client", get(client)).route("/body", post(body));
    server::finish(router, Shape::SystemC)
}

#[derive(serde::Deserialize)]
struct Body {}

impl Form for Body {
    const REFUSED: (u32, &'static str) = (1, "Wrong body");
}

#[tokio::test]
async fn the_socket_s_address_reaches_the_rules() {
    let server = start(speaker(), Limits::default()).await;
    let asked = "GET /client HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 6.6.6.6\r\nconnection: close\r\n\r\n";
    let answer = server.ask(asked).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let limits =
        Limits { times: Times { head: Duration::from_millis(200), ..Times::default() }, ..Limits::default() };
    let server = start(speaker(), limits).await;
    let mut stream = server.open("GET /cl").await;
    let answer = rest(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_head_with_too_many_headers_is_refused() {
    let server = start(speaker(), Limits::default()).await;
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let answer = server.ask(&format!("GET /client HTTP/1.1\r\nhost: x\r\n{many}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let fat = format!("GET /client HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The server may close before all is written: either way it is refused.
    let _ = stream.write_all(fat.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = within(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server closes");
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn a_body_that_stops_half_way_is_a_408_after_ten_seconds() {
    let server = start(speaker(), Limits::default()).await;
    let begun = std::time::Instant::now();
    let mut stream = server
        .open(
            "POST /body HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: 10\r\n\r\n{\"email\":",
        )
        .await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"error_code\":408"), "{answer}");
    assert!(begun.elapsed() < pace::stretched(Duration::from_secs(15)));
}

#[tokio::test]
async fn the_end_lets_running_requests_finish_and_takes_no_new_ones() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mut server = start(slow(Arc::clone(&begun), Arc::clone(&go_on)), Limits::default()).await;
    let mut stream = server.open("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    within(PATIENCE, begun.notified()).await.expect("the request begins");
    server.stop.take().unwrap().send(()).unwrap();
    // It has been told when it lets nobody in any more.
    let shut = async { while TcpStream::connect(server.address).await.is_ok() {} };
    within(PATIENCE, shut).await.expect("it takes no new ones");
    go_on.notify_one();
    assert!(rest(&mut stream).await.contains("slow and done"));
    within(PATIENCE, server.task).await.expect("the server ends").unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}
