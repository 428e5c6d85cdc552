//! The server under the routers: it accepts, and lets running requests end when it is told to stop.
//!
//! axum's own `serve` knows no limit at all, so the accept loop is here; what a connection may do stands in
//! [`connections`](crate::connections). The loop never waits for a client: who comes is accepted, and gets a place or
//! is sent away.

use std::{io, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
};
use futures::FutureExt;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

pub use crate::connections::{Limits, Times};
use crate::{
    Shape,
    connections::{Admission, Answering, House, Life, Places, Requests, Tick, Watched},
    protection,
};

/// Sockets that were told to end and are not gone yet may be so many more than the places.
const LEAVING: usize = 64;
/// How many connections the system holds for us until we accept them; its own limit (`net.core.somaxconn`) bounds it too.
/// The usual 128 is full after a tenth of a second of an attack, and whom it drops asks again after a whole second.
const BACKLOG: i32 = 4096;
/// The largest body that an extractor of a page collects; the API has a limit of its own.
const FORM_BYTES: usize = 64 * 1024;

/// Puts around the merged routers what every answer needs: 404 and 405 in the port's shape, a panic as 500, headers
/// that keep answers out of caches and frames. Call it once, last.
pub fn finish(router: Router, shape: Shape) -> Router {
    router
        .fallback(move || async move { shape.refusal(StatusCode::NOT_FOUND) })
        .method_not_allowed_fallback(move || async move { shape.refusal(StatusCode::METHOD_NOT_ALLOWED) })
        .layer(DefaultBodyLimit::max(FORM_BYTES))
        .layer(middleware::from_fn_with_state(shape, guarded))
}

/// Serves until `shutdown` resolves, then lets running requests end within the grace.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    // Listening once more changes this alone.
    if let Err(error) = SockRef::from(&listener).listen(BACKLOG) {
        tracing::warn!(%error, "few connections can wait to be accepted");
    }
    let port = Port::new(router, limits);
    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            (stream, peer, socket) = port.accepted(&listener) => port.welcome(stream, peer, socket, &graceful),
        }
    }
    drop(listener);
    if tokio::time::timeout(port.house.limits.times.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests that ran longer than the grace were cut off");
    }
    Ok(())
}

/// One listening port.
struct Port {
    house: Arc<House>,
    places: Arc<Places>,
    sockets: Arc<Semaphore>,
    builder: auto::Builder<TokioExecutor>,
}

impl Port {
    fn new(router: Router, limits: Limits) -> Self {
        let sockets = limits.connections.saturating_add(limits.probes).saturating_add(LEAVING);
        Self {
            places: Places::new(&limits),
            sockets: Arc::new(Semaphore::new(sockets.min(Semaphore::MAX_PERMITS))),
            builder: builder(&limits),
            house: Arc::new(House { router, requests: Requests::new(limits.requests_per_network), limits }),
        }
    }

    /// The next socket. Without a free descriptor somebody who is waited for makes room.
    async fn accepted(
        &self,
        listener: &TcpListener,
    ) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
        // The semaphore is never closed, so a missing permit cannot happen; without one nothing is limited. Who was
        // told to end is on the way out: this waits for our own tasks alone.
        let socket = Arc::clone(&self.sockets).acquire_owned().await.ok();
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return (stream, peer, socket),
                // The client is gone again.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if self.places.make_room() => {
                    tracing::debug!(%error, "a connection that was waited for makes room");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted; trying again");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Gives the comer a place and a task, or says that there is none.
    fn welcome(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        socket: Option<OwnedSemaphorePermit>,
        graceful: &GracefulShutdown,
    ) {
        let life = Life::begin();
        let trusted = self.house.limits.proxies.trusts(peer.ip());
        let Admission::In(place) = self.places.admit(peer.ip(), trusted, &life) else {
            return turn_away(&stream);
        };
        let service = Answering {
            house: Arc::clone(&self.house),
            life: Arc::clone(&life),
            peer,
            probes_alone: place.probes_alone,
        };
        let io = TokioIo::new(Watched::new(stream, Arc::clone(&life)));
        let served = graceful.watch(self.builder.serve_connection(io, service).into_owned());
        let times = self.house.limits.times.clone();
        tokio::spawn(async move {
            lived(served, &life, &times).await;
            drop((place, socket));
        });
    }
}

/// Lives the life of a connection: until it is over by itself, is told to end, or something is overdue.
async fn lived<E: std::fmt::Display>(
    served: impl Future<Output = Result<(), E>>,
    life: &Life,
    times: &Times,
) {
    tokio::pin!(served);
    loop {
        let next = match life.tick(times, std::time::Instant::now()) {
            Tick::Until(next) => next,
            Tick::Overdue(what) => return tracing::debug!(what, "a connection is overdue"),
        };
        tokio::select! {
            biased;
            () = life.ended() => return,
            result = &mut served => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
}

/// There is no place, because we work for everybody who has one. The answer fits any socket buffer.
fn turn_away(stream: &TcpStream) {
    const FULL: &[u8] =
        b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
    let _ = stream.try_write(FULL);
    tracing::debug!("a connection was sent away: every place is at work");
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Times are ours to keep: hyper's own would also end connections that only wait for their next request.
    builder
        .http1()
        .header_read_timeout(None)
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes.max(8 * 1024));
    builder
        .http2()
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(256 * 1024)
        .max_send_buf_size(64 * 1024)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(20);
    builder
}

/// Every answer: a panic is a 500 and not a torn connection, and nothing lands in caches or frames.
async fn guarded(State(shape): State<Shape>, request: Request, next: Next) -> Response {
    let mut response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!("a request handler panicked");
            shape.refusal(StatusCode::INTERNAL_SERVER_ERROR)
        }
    };
    protection::protect(&mut response);
    response
}
