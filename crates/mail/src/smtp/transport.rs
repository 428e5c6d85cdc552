//! `SmtpTransport`: the `Mailer` that talks to a real server.
//!
//! A reused connection that turns out dead before MAIL is answered is replaced once, unseen: idle connections
//! die all the time and that says nothing about the mail.

use std::sync::Arc;

use async_trait::async_trait;
use backshift_core::way::Safety;

use super::connection::{Connection, Failed, positive};
use super::options::{OptionsError, SmtpOptions};
use super::pool::Pool;
use super::tls::TlsClient;
use crate::address::EmailAddress;
use crate::mailer::Mailer;
use crate::message::Message;
use crate::outcome::{Class, Failure, Outcome, SendReport, Stage};

/// Sends over pooled connections to one server. Cloning shares the pool.
#[derive(Clone)]
pub struct SmtpTransport {
    options: Arc<SmtpOptions>,
    tls: Option<Arc<TlsClient>>,
    pool: Arc<Pool>,
}

impl std::fmt::Debug for SmtpTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SmtpTransport({}:{})", self.options.host, self.options.port)
    }
}

impl SmtpTransport {
    /// Checks the options; connects only when the first mail is sent.
    pub fn new(options: SmtpOptions) -> Result<Self, OptionsError> {
        for (name, value) in [
            ("SMTP connections", options.max_connections),
            ("mails per SMTP connection", options.max_messages as usize),
            ("SMTP port", usize::from(options.port)),
        ] {
            if value == 0 {
                return Err(OptionsError::Zero(name));
            }
        }
        check_names(&options)?;
        let way = options.way();
        if options.credentials.is_some() && matches!(way.safety(), Safety::Exposed(_)) {
            return Err(OptionsError::ClearPassword(way.place()));
        }
        let tls = TlsClient::from_options(&options)?.map(Arc::new);
        let pool = Pool::new(options.max_connections, options.idle_timeout, options.max_messages);
        Ok(Self { options: Arc::new(options), tls, pool: Arc::new(pool) })
    }

    /// How many connections may be open at once now; below the maximum after the server answered 421.
    pub fn width(&self) -> usize {
        self.pool.width()
    }

    async fn open(&self) -> Result<Connection, Failed> {
        Connection::open(&self.options, self.tls.as_deref()).await
    }

    async fn deliver(&self, message: &Message) -> SendReport {
        if let Some(mut connection) = self.pool.take() {
            let delivery = connection.deliver(message).await;
            if !delivery.stale {
                return self.done(connection, delivery);
            }
        }
        match self.open().await {
            Err(failed) => failed.into_outcome().into(),
            Ok(mut connection) => {
                let delivery = connection.deliver(message).await;
                self.done(connection, delivery)
            }
        }
    }

    fn done(&self, connection: Connection, delivery: super::transaction::Delivery) -> SendReport {
        if delivery.reusable {
            self.pool.give_back(connection);
        }
        delivery.report
    }
}

#[async_trait]
impl Mailer for SmtpTransport {
    async fn send(&self, message: &Message) -> SendReport {
        let Some(slot) = self.pool.slot().await else { return closed().into() };
        let report = self.deliver(message).await;
        match &report.outcome {
            Outcome::Retry { throttled: true, .. } => self.pool.slow_down(),
            Outcome::Sent { .. } => self.pool.delivered(),
            _ => {}
        }
        drop(slot);
        report
    }

    async fn probe(&self, from: &EmailAddress) -> Result<(), Outcome> {
        let probe = async {
            let mut connection = self.open().await?;
            let reply = connection.command(Stage::Mail, &format!("MAIL FROM:<{from}>\r\n")).await?;
            positive(Stage::Mail, reply)?;
            connection.quit().await;
            Ok(())
        };
        probe.await.map_err(Failed::into_outcome)
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

fn check_names(options: &SmtpOptions) -> Result<(), OptionsError> {
    let printable = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if !printable(&options.host) {
        return Err(OptionsError::Host(options.host.clone()));
    }
    match &options.hello_name {
        Some(name) if !printable(name) => Err(OptionsError::HelloName(name.clone())),
        _ => Ok(()),
    }
}

fn closed() -> Outcome {
    let failure = Failure::new(Stage::Connect, Class::Network, "the mail transport is closed");
    Outcome::Retry { after: None, throttled: false, failure }
}
