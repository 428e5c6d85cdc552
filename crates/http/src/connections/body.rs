//! Bodies of requests, read whole before a handler begins: no handler ever waits for a client.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};

use super::requests::Open;

/// Why a body was not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    TooLarge,
    TooSlow,
    Cut,
    /// Others hold too much memory already.
    NoRoom,
}

/// So much of a body that is too large is read and thrown away before its answer, and for so long.
const READ_AWAY: usize = 4 << 20;
const READ_AWAY_TIME: Duration = Duration::from_secs(2);

/// The whole body, or why not.
pub(super) async fn whole(
    mut body: Incoming,
    most: usize,
    time: Duration,
    open: &mut Open,
) -> Result<Bytes, Unread> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > most as u64 {
        read_away(&mut body).await;
        return Err(Unread::TooLarge);
    }
    let reading = async {
        // Copied, because a frame of one byte would keep the whole buffer alive that it came in.
        let mut all = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Unread::Cut)?.into_data() else { continue };
            if all.len() + data.len() > most {
                return Err(Unread::TooLarge);
            }
            if !open.holds(data.len()) {
                return Err(Unread::NoRoom);
            }
            all.extend_from_slice(&data);
        }
        Ok(all.freeze())
    };
    let read = tokio::time::timeout(time, reading).await.unwrap_or(Err(Unread::TooSlow));
    if let Err(Unread::TooLarge) = read {
        read_away(&mut body).await;
    }
    read
}

/// Many clients send everything before they read: closed in the middle, they would see a broken connection and not why.
async fn read_away(body: &mut Incoming) {
    let reading = async {
        let mut left = READ_AWAY;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(1, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // Whoever is slower than that learns it from the closed connection.
    let _ = tokio::time::timeout(READ_AWAY_TIME, reading).await;
}
