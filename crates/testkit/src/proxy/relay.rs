//! Moves the bytes of one connection, both ways, as the proxy's weather allows.
//!
//! Bytes that were read while the way is closed are kept, not lost: only a cut loses them.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

use super::{End, Way, Weather, trap::Hold};

const PIECE: usize = 64 * 1024;

/// Forwards until either side ends or the connection is cut.
pub(super) async fn both_ways(
    client: TcpStream,
    server: TcpStream,
    way: &Way,
    mut end: watch::Receiver<End>,
) {
    let ((mut from_client, to_client), (from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let (held, answers_held) = watch::channel(false);
    let mut down = tokio::spawn(answers(from_server, to_client, way.weather.subscribe(), answers_held));
    tokio::select! {
        () = questions(&mut from_client, &mut to_server, way, &held) => {}
        _ = end.changed() => {}
        _ = &mut down => {}
    }
    if matches!(*end.borrow(), End::Killed) && !*held.borrow() {
        let mut buffer = vec![0; PIECE];
        while let Ok(count @ 1..) = from_client.try_read(&mut buffer) {
            if to_server.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    }
    let _ = to_server.shutdown().await;
    down.abort();
}

/// From the client to the server, past the traps.
async fn questions(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, way: &Way, held: &watch::Sender<bool>) {
    let mut weather = way.weather.subscribe();
    let mut buffer = vec![0; PIECE];
    let mut seen = way.traps.watch();
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let caught = seen.look(&buffer[..count]);
        if caught == Some(Hold::Before) {
            held.send_replace(true);
            std::future::pending::<()>().await;
        }
        if caught == Some(Hold::After) {
            held.send_replace(true);
        }
        if pass(&buffer[..count], to, &mut weather).await.is_err() {
            return;
        }
    }
}

/// From the server to the client; a held connection gets no answers any more.
async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    mut held: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; PIECE];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if held.wait_for(|held| !held).await.is_err()
            || pass(&buffer[..count], &mut to, &mut weather).await.is_err()
        {
            break;
        }
    }
    let _ = to.shutdown().await;
}

async fn pass(
    bytes: &[u8],
    to: &mut OwnedWriteHalf,
    weather: &mut watch::Receiver<Weather>,
) -> std::io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let now = match weather.wait_for(|now| *now != Weather::HalfOpen).await {
            Ok(now) => *now,
            Err(_) => Weather::Clear,
        };
        let length = match now {
            Weather::Slow { piece, each } => {
                tokio::time::sleep(each).await;
                piece.min(rest.len())
            }
            Weather::Clear | Weather::HalfOpen => rest.len(),
        };
        to.write_all(&rest[..length]).await?;
        rest = &rest[length..];
    }
    Ok(())
}
