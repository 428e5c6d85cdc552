//! The wire: a TCP or TLS stream with a bounded reply reader and time-outs on everything.
//!
//! `starttls` refuses to go on when bytes were waiting before the handshake: they were injected in clear text.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::WireError;
use super::reply::{MAX_LINE, MAX_LINES, Reply, ReplyLine};
use super::tls::TlsClient;

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// One open stream. Dropping it closes the socket.
pub(super) struct Stream {
    wire: Box<dyn Wire>,
    /// Bytes read and not yet used; bounded by one read beyond a line.
    unread: Vec<u8>,
}

impl Stream {
    pub(super) fn plain(tcp: TcpStream) -> Self {
        Self { wire: Box::new(tcp), unread: Vec::new() }
    }

    pub(super) async fn tls(tcp: TcpStream, tls: &TlsClient, limit: Duration) -> Result<Self, WireError> {
        let handshake = tls.connector.connect(tls.name.clone(), tcp);
        match timeout(limit, handshake).await {
            Err(_) => Err(WireError::Silent(limit)),
            Ok(Err(error)) => Err(WireError::handshake(&error)),
            Ok(Ok(stream)) => Ok(Self { wire: Box::new(stream), unread: Vec::new() }),
        }
    }

    /// Wraps the stream in TLS after the server agreed to STARTTLS.
    pub(super) async fn upgraded(self, tls: &TlsClient, limit: Duration) -> Result<Self, WireError> {
        if !self.unread.is_empty() {
            return Err(WireError::Tls("the server sent clear text after agreeing to STARTTLS".into()));
        }
        let handshake = tls.connector.connect(tls.name.clone(), self.wire);
        match timeout(limit, handshake).await {
            Err(_) => Err(WireError::Silent(limit)),
            Ok(Err(error)) => Err(WireError::handshake(&error)),
            Ok(Ok(stream)) => Ok(Self { wire: Box::new(stream), unread: Vec::new() }),
        }
    }

    /// Writes all of `bytes`; an error means that the last of them was not handed over.
    pub(super) async fn write(&mut self, bytes: &[u8], limit: Duration) -> Result<(), WireError> {
        let write = async {
            self.wire.write_all(bytes).await?;
            self.wire.flush().await
        };
        match timeout(limit, write).await {
            Err(_) => Err(WireError::Silent(limit)),
            Ok(result) => Ok(result?),
        }
    }

    /// Reads one complete reply.
    pub(super) async fn read_reply(&mut self, limit: Duration) -> Result<Reply, WireError> {
        match timeout(limit, self.read_reply_inner()).await {
            Err(_) => Err(WireError::Silent(limit)),
            Ok(reply) => reply,
        }
    }

    async fn read_reply_inner(&mut self) -> Result<Reply, WireError> {
        let mut lines = Vec::new();
        loop {
            let line = self.read_line().await?;
            let line =
                ReplyLine::parse(&line).ok_or(WireError::Nonsense("the server's answer is not SMTP"))?;
            let last = line.last;
            lines.push(line);
            if last {
                return Reply::from_lines(lines)
                    .ok_or(WireError::Nonsense("the code changed within one answer"));
            }
            if lines.len() >= MAX_LINES {
                return Err(WireError::Nonsense("the server's answer has more than 100 lines"));
            }
        }
    }

    async fn read_line(&mut self) -> Result<Vec<u8>, WireError> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.unread[searched..].iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.unread.drain(..=searched + at).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                if line.len() <= MAX_LINE {
                    return Ok(line);
                }
            }
            searched = self.unread.len();
            if searched > MAX_LINE {
                return Err(WireError::Nonsense("a line of the server's answer is longer than 2,000 bytes"));
            }
            let mut chunk = [0_u8; 2048];
            let read = self.wire.read(&mut chunk).await?;
            if read == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            self.unread.extend_from_slice(&chunk[..read]);
        }
    }

    /// Whether an idle stream has been closed, or has something to say that nobody asked for.
    pub(super) fn is_disturbed(&mut self) -> bool {
        let mut byte = [0_u8; 64];
        let mut buffer = tokio::io::ReadBuf::new(&mut byte);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let pinned = std::pin::Pin::new(&mut self.wire);
        !self.unread.is_empty() || pinned.poll_read(&mut context, &mut buffer).is_ready()
    }
}
