//! One connection that is made when it is needed and made anew when it is gone.
//!
//! lapin's own recovery stays off: a delivery tag of a recovered channel names another message than before
//! (docs/decisions/0010-rabbitmq-reconnect.md).

use std::{
    sync::{
        Arc, Mutex as StdMutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use backshift_core::BrokerError;
use futures::StreamExt;
use lapin::{
    Channel, Connection, ConnectionProperties, Event,
    tcp::{AMQPUriTcpExt, AsyncTcpStream},
};
use tokio::{sync::Mutex, time::timeout};

use super::stream::{self, Readable};
use crate::rabbitmq::{
    config::Config,
    error::{again, refused_or_away, unavailable},
};

/// How long a failed attempt answers for those who ask right after it.
const FAILURE_HOLDS: Duration = Duration::from_millis(250);

/// A connection with one purpose; publishing and consuming never share one, because the server blocks publishers.
pub(crate) struct Link {
    config: Arc<Config>,
    purpose: &'static str,
    state: Mutex<State>,
    closed: AtomicBool,
}

#[derive(Default)]
struct State {
    wire: Option<Arc<Wire>>,
    failed: Option<(Instant, BrokerError)>,
}

/// An open connection.
pub(crate) struct Wire {
    connection: Connection,
    blocked: Arc<StdMutex<Option<String>>>,
    forsaken: AtomicBool,
    request_timeout: Duration,
}

impl Link {
    pub(crate) fn new(config: Arc<Config>, purpose: &'static str) -> Self {
        Self { config, purpose, state: Mutex::default(), closed: AtomicBool::new(false) }
    }

    /// The open connection; connects when there is none. One attempt at a time, whoever asks meanwhile shares it.
    pub(crate) async fn open(&self) -> Result<Arc<Wire>, BrokerError> {
        let mut state = self.state.lock().await;
        if self.closed.load(Ordering::Acquire) {
            return Err(BrokerError::Closed);
        }
        if let Some(wire) = state.wire.as_ref().filter(|wire| wire.is_open()) {
            return Ok(wire.clone());
        }
        if let Some((at, error)) = &state.failed
            && at.elapsed() < FAILURE_HOLDS
        {
            return Err(again(error));
        }
        state.wire = None;
        match self.connect().await {
            Ok(wire) => {
                let wire = Arc::new(wire);
                *state = State { wire: Some(wire.clone()), failed: None };
                Ok(wire)
            }
            Err(error) => {
                state.failed = Some((Instant::now(), again(&error)));
                Err(error)
            }
        }
    }

    /// Ends the connection and forbids another one.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let wire = self.state.lock().await.wire.take();
        // While the server blocks, lapin writes nothing: the goodbye would wait for the whole time-out.
        if let Some(wire) = wire.filter(|wire| wire.is_open() && wire.blocked().is_none()) {
            let goodbye = wire.connection.close(200, "closed".into());
            if !matches!(timeout(wire.request_timeout, goodbye).await, Ok(Ok(()))) {
                tracing::debug!(purpose = self.purpose, "the server did not answer the goodbye");
            }
        }
    }

    async fn connect(&self) -> Result<Wire, BrokerError> {
        let address = self.config.address();
        let limit = self.config.options.connect_timeout;
        let doing = format!("connecting to {address}");
        let (runtime, tokio) = stream::runtimes();
        let tls = self.config.tls_config();
        let name = format!("{} ({})", self.config.options.connection_name, self.purpose);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connecting = Connection::connector(
            self.config.uri(),
            runtime,
            // A time-out of its own: the attempt runs in lapin's thread and would outlive ours by minutes.
            async move |uri, _| {
                let socket = uri.connect_with_config_async(tls.as_ref(), &tokio);
                let socket = timeout(limit, socket).await.map_err(|_| silence())??;
                Ok(AsyncTcpStream::Plain(Readable::new(socket)))
            },
            properties,
        );
        let connection = timeout(limit, connecting)
            .await
            .map_err(|_| unavailable(format!("{doing}: no answer within {limit:?}")))?
            .map_err(|error| refused_or_away(&doing, &error))?;
        let blocked = watch_blocking(&connection, self.purpose);
        tracing::debug!(%address, purpose = self.purpose, "connected to RabbitMQ");
        Ok(Wire { connection, blocked, forsaken: AtomicBool::new(false), request_timeout: limit })
    }
}

impl Wire {
    pub(crate) fn is_open(&self) -> bool {
        self.connection.status().connected() && !self.forsaken.load(Ordering::Acquire)
    }

    /// Lets go of a connection that does not answer: whoever needs one next gets a fresh one.
    pub(crate) fn forsake(&self) {
        self.forsaken.store(true, Ordering::Release);
    }

    /// Why the server takes no publishes at present, if it said so.
    pub(crate) fn blocked(&self) -> Option<String> {
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A new channel.
    pub(crate) async fn channel(&self) -> Result<Channel, BrokerError> {
        self.ask("opening a channel", self.connection.create_channel()).await
    }

    /// Waits for the server's answer to one request, not longer than allowed.
    pub(crate) async fn ask<T>(
        &self,
        doing: &str,
        request: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, BrokerError> {
        match timeout(self.request_timeout, request).await {
            Ok(answer) => answer.map_err(|error| refused_or_away(doing, &error)),
            Err(_) => Err(unavailable(format!("{doing}: no answer within {:?}", self.request_timeout))),
        }
    }
}

fn silence() -> lapin::Error {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// Remembers whether and why the server blocks this connection; ends with the connection.
fn watch_blocking(connection: &Connection, purpose: &'static str) -> Arc<StdMutex<Option<String>>> {
    let blocked = Arc::new(StdMutex::new(None));
    let (mut events, seen) = (connection.events_listener(), blocked.clone());
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            let now = match event {
                Event::ConnectionBlocked(reason) => Some(reason),
                Event::ConnectionUnblocked => None,
                Event::Error(error) => {
                    tracing::debug!(purpose, %error, "RabbitMQ reported an error");
                    continue;
                }
                _ => continue,
            };
            match &now {
                Some(reason) => tracing::warn!(purpose, reason, "RabbitMQ blocks publishing"),
                None => tracing::info!(purpose, "RabbitMQ allows publishing again"),
            }
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
    });
    blocked
}
