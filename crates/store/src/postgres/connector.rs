//! Agrees with the server on TLS, and refuses to hand a password in clear to a server that nobody checked.
//!
//! tokio-postgres would answer any server that asks for the password itself. It is told that TLS has begun, so that the
//! whole beginning of a connection passes here, also where it stays in clear.

use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::{FutureExt, future::BoxFuture};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    refusal::{Refusal, Remedy},
    requests::Requests,
};

type Problem = Box<dyn Error + Send + Sync>;

/// Who asks the server for TLS, and what its *no* means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Negotiation {
    /// tokio-postgres, by itself.
    OfTheClient,
    /// The connection stays in clear.
    Clear,
    /// We do; without TLS there is no connection when it is needed.
    Ask { needed: bool },
    /// Nobody: TLS from the first byte (PostgreSQL 17).
    Direct,
}

/// Makes connections of one address. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) tls: MakeRustlsConnect,
    pub(super) negotiation: Negotiation,
    /// Whether the server may ask for the password in clear: it is this machine, or its certificate was checked.
    pub(super) trusted: bool,
    pub(super) remedy: Arc<Remedy>,
}

/// The same for one host.
pub(super) struct Handshake<T> {
    tls: T,
    host: String,
    connector: Connector,
}

impl<S> MakeTlsConnect<S> for Connector
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    MakeRustlsConnect: MakeTlsConnect<S>,
    <MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect: Send + 'static,
    <<MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect as TlsConnect<S>>::Future: Send,
    <MakeRustlsConnect as MakeTlsConnect<S>>::Stream: Send,
{
    type Stream = Guarded<S, <MakeRustlsConnect as MakeTlsConnect<S>>::Stream>;
    type TlsConnect = Handshake<<MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect>;
    type Error = Problem;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, Problem> {
        let tls = MakeTlsConnect::<S>::make_tls_connect(&mut self.tls, host).map_err(Into::into)?;
        Ok(Handshake { tls, host: host.to_owned(), connector: self.clone() })
    }
}

impl<S, T> TlsConnect<S> for Handshake<T>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: TlsConnect<S> + Send + 'static,
    T::Future: Send,
    T::Stream: Send,
{
    type Stream = Guarded<S, T::Stream>;
    type Error = Problem;
    type Future = BoxFuture<'static, Result<Self::Stream, Problem>>;

    fn connect(self, stream: S) -> Self::Future {
        self.begin(stream).boxed()
    }
}

impl<T> Handshake<T> {
    async fn begin<S>(self, mut stream: S) -> Result<Guarded<S, T::Stream>, Problem>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: TlsConnect<S>,
    {
        let Self { tls, host, connector } = self;
        let encrypted = match connector.negotiation {
            Negotiation::Clear => false,
            Negotiation::OfTheClient | Negotiation::Direct => true,
            Negotiation::Ask { needed } => match (offers_tls(&mut stream).await?, needed) {
                (false, true) => return Err(Refusal::no_tls(&host).into()),
                (offered, _) => offered,
            },
        };
        let wire = if encrypted {
            let connected = tls.connect(stream).await;
            Wire::Encrypted(connected.map_err(|error| connector.remedy.explain(&host, error.into()))?)
        } else {
            Wire::Clear(stream)
        };
        let requests = (!connector.trusted).then(Requests::default);
        Ok(Guarded { wire, requests, host })
    }
}

/// Asks for TLS; one byte is read, so that nothing that follows in clear is taken for something encrypted.
async fn offers_tls<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<bool, Problem> {
    const REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    stream.write_all(&REQUEST).await?;
    stream.flush().await?;
    match stream.read_u8().await? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        _ => {
            Err(io::Error::other("the server's answer to the question for TLS is none of PostgreSQL").into())
        }
    }
}

/// A connection whose server is watched until it has let us in.
pub(super) struct Guarded<S, T> {
    wire: Wire<S, T>,
    requests: Option<Requests>,
    host: String,
}

enum Wire<S, T> {
    Clear(S),
    Encrypted(T),
}

impl<S, T> fmt::Debug for Guarded<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("host", &self.host).finish_non_exhaustive()
    }
}

impl<S, T> TlsStream for Guarded<S, T>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: TlsStream + Unpin,
{
    fn channel_binding(&self) -> ChannelBinding {
        match &self.wire {
            Wire::Clear(_) => ChannelBinding::none(),
            Wire::Encrypted(tls) => tls.channel_binding(),
        }
    }
}

impl<S: AsyncRead + Unpin, T: AsyncRead + Unpin> AsyncRead for Guarded<S, T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        ready!(match &mut this.wire {
            Wire::Clear(wire) => Pin::new(wire).poll_read(cx, into),
            Wire::Encrypted(wire) => Pin::new(wire).poll_read(cx, into),
        })?;
        let Some(requests) = &mut this.requests else { return Poll::Ready(Ok(())) };
        match requests.see(&into.filled()[before..]) {
            Some(asked) if asked => Poll::Ready(Err(io::Error::other(Refusal::clear_password(&this.host)))),
            Some(_) => Poll::Ready(Ok(())),
            None => {
                this.requests = None;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin, T: AsyncWrite + Unpin> AsyncWrite for Guarded<S, T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().wire {
            Wire::Clear(wire) => Pin::new(wire).poll_write(cx, bytes),
            Wire::Encrypted(wire) => Pin::new(wire).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Clear(wire) => Pin::new(wire).poll_flush(cx),
            Wire::Encrypted(wire) => Pin::new(wire).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Clear(wire) => Pin::new(wire).poll_shutdown(cx),
            Wire::Encrypted(wire) => Pin::new(wire).poll_shutdown(cx),
        }
    }
}
