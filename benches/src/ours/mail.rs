//! Backshift's pooled transport: ten senders, ten connections, PIPELINING where the server offers it.
//!
//! `backshift-build` is the way of a mail job: the payload is decoded, the message composed (with a text made of the
//! HTML), then sent. Nothing is kept from one mail to the next but the connections.

use anyhow::{Result, bail};
use async_trait::async_trait;
use backshift_mail::{Composer, Mailer as _, NamedAddress, SmtpOptions, SmtpTransport};

use crate::{
    harness::{Arm, Sample, Server, Stopwatch},
    raw::mail_sink::Sink,
    rows::mail::{CONNECTIONS, FROM, composed, counted, payload, spread},
};

/// Our transport.
pub(crate) struct Ours {
    /// Also decodes and composes each mail.
    pub(crate) builds: bool,
}

#[async_trait]
impl Arm for Ours {
    fn name(&self) -> &'static str {
        if self.builds { "backshift-build" } else { "backshift" }
    }

    fn settings(&self) -> String {
        let form = if self.builds { "decoded and composed from a job's payload" } else { "the same bytes" };
        format!("SmtpTransport with its defaults (pool of {CONNECTIONS}), {CONNECTIONS} senders, {form}")
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let sink = Sink::start()?;
        let transport = SmtpTransport::new(SmtpOptions::new("127.0.0.1", sink.port))?;
        let composer = Composer::new(NamedAddress::parse(FROM).map_err(anyhow::Error::msg)?);
        let (message, payload) = (composed(0)?, payload());
        let mails = (40_000.0 * scale) as u64;
        let builds = self.builds;
        let watch = Stopwatch::start(Server::listening_on(sink.port));
        let sender = transport.clone();
        spread(mails, move |number| {
            let (sender, composer) = (sender.clone(), composer.clone());
            let (message, payload) = (message.clone(), payload.clone());
            async move {
                let message = match builds {
                    false => message,
                    true => {
                        let email = backshift_mail::decode(&payload)?;
                        composer.compose(&email, &format!("job-{number}"), jiff::Timestamp::now())?
                    }
                };
                match sender.send(&message).await.outcome {
                    outcome if outcome.is_sent() => Ok(()),
                    outcome => bail!("not sent: {outcome}"),
                }
            }
        })
        .await?;
        let sample = counted(&sink, watch.stop(mails));
        transport.close().await;
        sample
    }
}
