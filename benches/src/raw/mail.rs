//! Postfix' own load generator against its own sink: C, one thread, `poll`, no command pipelining.
//!
//! Two manners: a connection for each mail, which is what `smtp-source -s 10` does, and connections that are kept
//! (`-d`), which is what a pool does.

use anyhow::{Result, bail};
use async_trait::async_trait;
use tokio::process::Command;

use super::mail_sink::Sink;
use crate::{
    harness::{Arm, Sample, Server, Stopwatch},
    rows::mail::{CONNECTIONS, FROM, TO, composed, counted},
};

/// `smtp-source -s 10`.
pub(crate) struct SmtpSource {
    /// `-d`: keep the connections.
    pub(crate) keeps: bool,
}

#[async_trait]
impl Arm for SmtpSource {
    fn name(&self) -> &'static str {
        if self.keeps { "smtp-source-kept" } else { "smtp-source" }
    }

    fn settings(&self) -> String {
        let manner = if self.keeps { "-d: connections are kept" } else { "a connection for each mail" };
        format!("Postfix' smtp-source -s {CONNECTIONS}, the same mail from a file, {manner}")
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let sink = Sink::start()?;
        let mails = (if self.keeps { 30_000.0 } else { 12_000.0 } * scale) as u64;
        // It stuffs dots and appends CRLF by itself: the file has one line end a line.
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), String::from_utf8_lossy(composed(0)?.bytes()).replace("\r\n", "\n"))?;
        let mut command = Command::new("smtp-source");
        command.args(["-4", "-s", &CONNECTIONS.to_string(), "-m", &mails.to_string(), "-f", FROM, "-t", TO]);
        command.arg("-F").arg(file.path());
        if self.keeps {
            command.arg("-d");
        }
        let watch = Stopwatch::start(Server::listening_on(sink.port));
        let status = command.arg(format!("127.0.0.1:{}", sink.port)).status().await?;
        let sample = watch.stop(mails);
        if !status.success() {
            bail!("smtp-source failed: {status}");
        }
        counted(&sink, sample)
    }
}
