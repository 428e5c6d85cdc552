//! lettre, as its users send: the stock pool of `AsyncSmtpTransport`, ten senders, ten connections.
//!
//! Its stall is known: body and final dot are two writes on a socket without TCP_NODELAY, so Nagle's algorithm holds
//! the dot back until the server's delayed ACK, 40 ms later. [`LettreWithoutStall`] is lettre's own connection over a
//! socket with TCP_NODELAY: what its pool would reach if it set the option.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor,
    address::Envelope,
    message::MultiPart,
    transport::smtp::{PoolConfig, client::AsyncSmtpConnection, extension::ClientId},
};
use tokio::{net::TcpStream, sync::Mutex};

use super::mail_sink::Sink;
use crate::{
    harness::{Arm, Sample, Server, Stopwatch},
    rows::mail::{CONNECTIONS, FROM, HTML, SUBJECT, TO, composed, counted, spread},
};

/// The stock pool.
pub(crate) struct LettrePool {
    /// Also builds each mail with lettre's builder.
    pub(crate) builds: bool,
}

#[async_trait]
impl Arm for LettrePool {
    fn name(&self) -> &'static str {
        if self.builds { "lettre-build" } else { "lettre" }
    }

    fn settings(&self) -> String {
        let form = if self.builds { "built with Message::builder" } else { "the same bytes" };
        format!("AsyncSmtpTransport, pool of {CONNECTIONS}, {CONNECTIONS} senders, {form}")
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let sink = Sink::start()?;
        let pool = PoolConfig::new().max_size(CONNECTIONS);
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1");
        let transport = transport.port(sink.port).pool_config(pool).build();
        let (bytes, envelope): (Arc<[u8]>, _) = (composed(0)?.bytes().into(), envelope()?);
        let mails = (500.0 * scale) as u64;
        let builds = self.builds;
        let watch = Stopwatch::start(Server::listening_on(sink.port));
        spread(mails, move |_| {
            let (transport, bytes, envelope) = (transport.clone(), Arc::clone(&bytes), envelope.clone());
            async move {
                match builds {
                    true => transport.send(built()?).await?,
                    false => transport.send_raw(&envelope, &bytes).await?,
                };
                Ok(())
            }
        })
        .await?;
        counted(&sink, watch.stop(mails))
    }
}

/// lettre's connection over a socket with TCP_NODELAY; the pool is ours, as its own cannot take such a socket.
pub(crate) struct LettreWithoutStall;

#[async_trait]
impl Arm for LettreWithoutStall {
    fn name(&self) -> &'static str {
        "lettre-nodelay"
    }

    fn settings(&self) -> String {
        format!(
            "{CONNECTIONS} AsyncSmtpConnections over sockets with TCP_NODELAY, kept for all mails, the same bytes"
        )
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let sink = Sink::start()?;
        let (bytes, envelope): (Arc<[u8]>, _) = (composed(0)?.bytes().into(), envelope()?);
        let mails = (20_000.0 * scale) as u64;
        let watch = Stopwatch::start(Server::listening_on(sink.port));
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS {
            let tcp = TcpStream::connect(("127.0.0.1", sink.port)).await?;
            tcp.set_nodelay(true)?;
            let hello = ClientId::Domain("localhost".to_owned());
            idle.push(AsyncSmtpConnection::connect_with_transport(Box::new(tcp), &hello).await?);
        }
        let idle = Arc::new(Mutex::new(idle));
        spread(mails, move |_| {
            let (idle, bytes, envelope) = (Arc::clone(&idle), Arc::clone(&bytes), envelope.clone());
            async move {
                let taken = idle.lock().await.pop();
                let mut connection = taken.ok_or_else(|| anyhow::anyhow!("more senders than connections"))?;
                connection.send(&envelope, &bytes).await?;
                idle.lock().await.push(connection);
                Ok(())
            }
        })
        .await?;
        counted(&sink, watch.stop(mails))
    }
}

fn envelope() -> Result<Envelope> {
    Ok(Envelope::new(Some(FROM.parse()?), vec![TO.parse()?])?)
}

/// The mail that ours builds, as a user of lettre writes it; the text is there already.
fn built() -> Result<lettre::Message> {
    let both = MultiPart::alternative_plain_html(TEXT.to_owned(), HTML.to_owned());
    let message = lettre::Message::builder().from(FROM.parse()?).to(TO.parse()?).subject(SUBJECT);
    Ok(message.multipart(both)?)
}

const TEXT: &str = "Hello Lan,\r\n\r\nyour code is 482913. It is valid for ten minutes.\r\n";
