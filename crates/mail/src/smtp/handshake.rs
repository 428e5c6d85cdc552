//! From nothing to a ready connection: TCP, greeting, EHLO, STARTTLS, EHLO, AUTH.
//!
//! With STARTTLS nothing but EHLO and STARTTLS crosses in the clear: no name, no password, no mail.

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::connection::{Capabilities, Connection, Failed, positive};
use super::error::WireError;
use super::options::{SmtpOptions, TlsMode};
use super::stream::Stream;
use super::tls::TlsClient;
use crate::outcome::Stage;

impl Connection {
    /// Opens a connection as the options say.
    pub(super) async fn open(options: &SmtpOptions, tls: Option<&TlsClient>) -> Result<Self, Failed> {
        let tcp = dial(options).await.map_err(|error| Failed { stage: Stage::Connect, error })?;
        let hello = hello_name(options, &tcp);
        let stream = match (options.tls, tls) {
            (TlsMode::Implicit, Some(tls)) => Stream::tls(tcp, tls, options.command_timeout)
                .await
                .map_err(|error| Failed { stage: Stage::Tls, error })?,
            _ => Stream::plain(tcp),
        };
        let mut connection = Self {
            stream,
            capabilities: Capabilities::default(),
            command_timeout: options.command_timeout,
            final_timeout: options.final_timeout,
            used: 0,
            idle_since: Instant::now(),
        };
        let greeting = connection.stream.read_reply(options.command_timeout).await;
        positive(Stage::Connect, greeting.map_err(|error| Failed { stage: Stage::Connect, error })?)?;
        connection.hello(&hello, options).await?;
        if let (TlsMode::StartTls, Some(tls)) = (options.tls, tls) {
            connection = connection.start_tls(tls).await?;
            connection.hello(&hello, options).await?;
        }
        if let Some(credentials) = &options.credentials {
            connection.authenticate(credentials).await?;
        }
        Ok(connection)
    }

    async fn hello(&mut self, name: &str, options: &SmtpOptions) -> Result<(), Failed> {
        let reply = self.command(Stage::Connect, &format!("EHLO {name}\r\n")).await?;
        if matches!(reply.code, 500..=504)
            && options.tls != TlsMode::StartTls
            && options.credentials.is_none()
        {
            let reply = self.command(Stage::Connect, &format!("HELO {name}\r\n")).await?;
            positive(Stage::Connect, reply)?;
            return Ok(());
        }
        self.capabilities = Capabilities::from_ehlo(&positive(Stage::Connect, reply)?);
        Ok(())
    }

    async fn start_tls(mut self, tls: &TlsClient) -> Result<Self, Failed> {
        let failed = |error| Failed { stage: Stage::Tls, error };
        if !self.capabilities.starttls {
            return Err(failed(WireError::Tls(
                "the server does not offer STARTTLS and nothing is sent in clear text; \
                 check host and port, or set BACKSHIFT_SMTP_TLS"
                    .into(),
            )));
        }
        let reply = self.command(Stage::Tls, "STARTTLS\r\n").await?;
        positive(Stage::Tls, reply)?;
        self.stream = self.stream.upgraded(tls, self.command_timeout).await.map_err(failed)?;
        // What was offered in the clear may have been forged.
        self.capabilities = Capabilities::default();
        Ok(self)
    }
}

async fn dial(options: &SmtpOptions) -> Result<TcpStream, WireError> {
    let host = options.host.trim_start_matches('[').trim_end_matches(']');
    let tcp = timeout(options.connect_timeout, TcpStream::connect((host, options.port)))
        .await
        .map_err(|_| WireError::Silent(options.connect_timeout))??;
    // Without this every mail waits 40 ms for a delayed ACK.
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

fn hello_name(options: &SmtpOptions, tcp: &TcpStream) -> String {
    match (&options.hello_name, tcp.local_addr().map(|a| a.ip())) {
        (Some(name), _) => name.clone(),
        (None, Ok(std::net::IpAddr::V6(ip))) => format!("[IPv6:{ip}]"),
        (None, Ok(std::net::IpAddr::V4(ip))) => format!("[{ip}]"),
        (None, Err(_)) => "localhost".to_owned(),
    }
}
