//! The socket as lapin sees it: the server's frames, with unreadable properties scrubbed on the way in.
//!
//! Bodies and all other frames pass as they are; only content headers wait until they are complete.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use async_rs::{Runtime, Tokio, TokioRuntime, traits::Reactor, util::RuntimeParts};
use futures::{
    Stream,
    io::{AsyncRead, AsyncWrite},
};
use lapin::tcp::AsyncTcpStream;

use super::scrub;

type Socket = AsyncTcpStream<<Tokio as Reactor>::TcpStream>;

/// Tokio with [`Readable`] sockets; lapin names a runtime's socket by its type.
pub(crate) type Kit = RuntimeParts<Tokio, Sockets>;

/// The current tokio runtime, twice: as lapin gets it, and as connections are made with it.
pub(crate) fn runtimes() -> (Runtime<Kit>, TokioRuntime) {
    let kit = RuntimeParts::new(Tokio::current(), Sockets(Tokio::current()));
    (Runtime::new(kit), TokioRuntime::tokio_current())
}

const HEADER: usize = 7;
const CONTENT_HEADER: u8 = 2;
/// A content header that is larger than any agreed frame is left for lapin to refuse.
const MOST: usize = 1024 * 1024;
const CHUNK: usize = 64 * 1024;

/// A socket whose content headers can be read.
pub(crate) struct Readable {
    socket: Socket,
    /// Received bytes; those before `ready` may be handed on, from `taken`.
    buffer: Vec<u8>,
    taken: usize,
    ready: usize,
    /// What is left of a frame that passes unread.
    passing: usize,
}

impl Readable {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, buffer: Vec::new(), taken: 0, ready: 0, passing: 0 }
    }

    /// Moves `ready` over all frames that may be handed on.
    fn release(&mut self) {
        while self.ready < self.buffer.len() {
            let waiting = self.buffer.len() - self.ready;
            if self.passing > 0 {
                let step = self.passing.min(waiting);
                self.passing -= step;
                self.ready += step;
                continue;
            }
            let frame = &mut self.buffer[self.ready..];
            let Some([kind, _, _, size @ ..]) = frame.first_chunk::<HEADER>() else { return };
            let whole = HEADER + u32::from_be_bytes(*size) as usize + 1;
            if *kind != CONTENT_HEADER || whole > MOST {
                self.passing = whole;
            } else if waiting < whole {
                return;
            } else {
                if scrub::content_header(&mut frame[HEADER..whole - 1]) {
                    tracing::warn!(
                        "a message has properties that are no text: the unreadable bytes became '?'"
                    );
                }
                self.ready += whole;
            }
        }
    }
}

impl AsyncRead for Readable {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            if this.taken < this.ready {
                let count = out.len().min(this.ready - this.taken);
                out[..count].copy_from_slice(&this.buffer[this.taken..this.taken + count]);
                this.taken += count;
                return Poll::Ready(Ok(count));
            }
            this.buffer.drain(..this.taken);
            (this.taken, this.ready) = (0, 0);
            let kept = this.buffer.len();
            this.buffer.resize(kept + CHUNK, 0);
            let read = Pin::new(&mut this.socket).poll_read(cx, &mut this.buffer[kept..]);
            this.buffer.truncate(kept + if let Poll::Ready(Ok(count)) = &read { *count } else { 0 });
            if ready!(read)? == 0 {
                // The end: half a frame is handed on for lapin to complain about.
                this.ready = this.buffer.len();
                if this.ready == 0 {
                    return Poll::Ready(Ok(0));
                }
            } else {
                this.release();
            }
        }
    }
}

impl AsyncWrite for Readable {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, slices)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_close(cx)
    }
}

/// Tokio's reactor, whose sockets are [`Readable`].
#[derive(Debug, Clone)]
pub(crate) struct Sockets(Tokio);

impl Reactor for Sockets {
    type TcpStream = Readable;
    type Sleep = <Tokio as Reactor>::Sleep;

    /// lapin registers no sockets of its own here, and the bound for it cannot be named outside async-rs.
    fn register<H: io::Read + io::Write + Send + 'static>(
        &self,
        _socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<Readable, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.0.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(time)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async move { Ok(Readable::new(AsyncTcpStream::Plain(connecting.await?))) }
    }
}
