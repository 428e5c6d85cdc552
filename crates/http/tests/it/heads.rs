//! Heads of HTTP/2: as large as those of HTTP/1 and no larger, however they are packed.

use axum::{Router, routing::get};
use backshift_testkit::wait::within;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    h2,
    port::{PATIENCE, Running, ended, only, start},
};

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

async fn server() -> Running {
    start(Router::new().route("/", get(|| async { "hello" })), only(|_| {})).await
}

/// Sends what an attack consists of, and reads until a frame of this stream comes or the connection is over.
async fn first_answer(server: &Running, frames: &[u8], stream: u32) -> Option<(u8, Vec<u8>)> {
    let mut socket: TcpStream = server.open("").await;
    socket.write_all(&h2::start()).await.unwrap();
    // The server may close before all is written.
    let _ = socket.write_all(frames).await;
    let mut all = Vec::new();
    let reading = async {
        loop {
            let found =
                h2::frames(&all).into_iter().find(|(kind, of, _)| *of == stream && [1, 3].contains(kind));
            if let Some((kind, _, payload)) = found {
                return Some((kind, payload));
            }
            if !socket.read_buf(&mut all).await.is_ok_and(|bytes| bytes > 0) {
                return None;
            }
        }
    };
    within(PATIENCE, reading).await.expect("an answer, or the end")
}

/// Whether the request was answered with 200, which HPACK has in its table.
fn was_served(answer: &Option<(u8, Vec<u8>)>) -> bool {
    answer.as_ref().is_some_and(|(kind, payload)| *kind == HEADERS && payload.first() == Some(&0x88))
}

#[tokio::test]
async fn how_large_a_head_may_be_is_said_at_once() {
    let server = server().await;
    let mut socket = server.open("").await;
    socket.write_all(&h2::start()).await.unwrap();
    let mut all = Vec::new();
    let settings = async {
        loop {
            if let Some((_, _, payload)) = h2::frames(&all).into_iter().find(|(kind, _, _)| *kind == 4) {
                return payload;
            }
            assert!(socket.read_buf(&mut all).await.unwrap() > 0);
        }
    };
    let settings = within(PATIENCE, settings).await.unwrap();
    let value = |id: u8| {
        let setting = settings.chunks(6).find(|setting| setting[..2] == [0, id])?;
        Some(u32::from_be_bytes(setting[2..].try_into().unwrap()))
    };
    assert_eq!(
        (value(6), value(3)),
        (Some(16 * 1024), Some(32)),
        "SETTINGS_MAX_HEADER_LIST_SIZE and streams"
    );
}

#[tokio::test]
async fn a_head_that_is_too_large_or_has_too_many_headers_is_not_served() {
    let server = server().await;
    let head = |more: &[u8]| h2::frame(HEADERS, END_STREAM | END_HEADERS, 1, &[&h2::ROOT[..], more].concat());
    let (large, small) = (h2::header("x", &"y".repeat(120)), h2::header("x", "y"));
    assert!(was_served(&first_answer(&server, &head(&small.repeat(99)), 1).await));
    for more in [large.repeat(110), small.repeat(101), small.repeat(2000)] {
        let answer = first_answer(&server, &head(&more), 1).await;
        assert!(!was_served(&answer), "{answer:?}");
    }
    // One entry of the table, named by one byte again and again: a few kilobytes that stand for a megabyte.
    let entry = [&[0x40, 1, b'x', 120][..], &[b'y'; 120]].concat();
    let bomb = head(&[entry, vec![0xbe; 8000]].concat());
    assert!(!was_served(&first_answer(&server, &bomb, 1).await));
}

#[tokio::test]
async fn a_head_in_pieces_without_end_ends_its_connection() {
    let server = server().await;
    let piece = h2::header("x", &"y".repeat(100)).repeat(10);
    for piece in [piece, Vec::new(), vec![0]] {
        let mut socket = server.open("").await;
        socket.write_all(&h2::start()).await.unwrap();
        socket.write_all(&h2::frame(HEADERS, END_STREAM, 1, &h2::ROOT)).await.unwrap();
        let flood = h2::frame(CONTINUATION, 0, 1, &piece).repeat(64);
        let flooding = async { while socket.write_all(&flood).await.is_ok() {} };
        within(PATIENCE, flooding).await.expect("the server ends the connection");
        ended(&mut socket).await;
    }
    // In two pieces it is a head like another.
    let whole = [
        h2::frame(HEADERS, END_STREAM, 1, &h2::ROOT[..3]),
        h2::frame(CONTINUATION, END_HEADERS, 1, &h2::ROOT[3..]),
    ];
    assert!(was_served(&first_answer(&server, &whole.concat(), 1).await));
}
