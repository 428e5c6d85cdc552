//! SMTP servers that accept every mail: Postfix' `smtp-sink`. One only swallows; the other also keeps each mail as a
//! file (`X-Mail-Args`, `X-Rcpt-Args` lines, then the message as received), for tests that read what arrived.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::account::Account;
use super::record::Record;
use super::start::{Service, Site};
use super::wire;
use crate::workspace::which;

/// A sink.
pub(crate) struct SmtpSink {
    name: &'static str,
    keeps: bool,
}

impl SmtpSink {
    /// Swallows everything: for load.
    pub(crate) const COUNTING: Self = Self { name: "smtp-sink", keeps: false };
    /// Keeps every mail in a directory: for scenarios.
    pub(crate) const KEEPING: Self = Self { name: "smtp-keep", keeps: true };
}

impl Service for SmtpSink {
    fn name(&self) -> &'static str {
        self.name
    }

    fn missing_packages(&self) -> Vec<&'static str> {
        if which("smtp-sink").is_some() { Vec::new() } else { vec!["postfix"] }
    }

    fn start(&self, site: &mut Site<'_>) -> Result<()> {
        let program = which("smtp-sink").context("smtp-sink is nowhere to be found")?;
        let mut args = vec!["-h".to_owned(), format!("backshift-{}.test", site.record.nonce)];
        if self.keeps {
            let mails = site.dir.join("mails");
            Account::own_dir(site.account, &mails)?;
            args.extend(["-d".to_owned(), format!("{}/", mails.display())]);
        }
        args.extend([format!("127.0.0.1:{}", site.record.port("main")?), "256".to_owned()]);
        site.launch(&program, args, Vec::new(), "TERM")
    }

    fn probe(&self, record: &Record) -> Result<()> {
        let port = record.port("main")?;
        let said = wire::greeting(port)?;
        if !said.starts_with("220 ") || !said.contains(&record.nonce) {
            bail!("port {port} does not answer as our SMTP sink ({said:?})");
        }
        Ok(())
    }

    fn variables(&self, record: &Record, dir: &Path) -> Result<Vec<(&'static str, String)>> {
        let address = format!("127.0.0.1:{}", record.port("main")?);
        if !self.keeps {
            return Ok(vec![("BACKSHIFT_TEST_SMTP_SINK", address)]);
        }
        let mails = dir.join("mails").display().to_string();
        Ok(vec![("BACKSHIFT_TEST_SMTP_KEEP", address), ("BACKSHIFT_TEST_SMTP_KEEP_DIR", mails)])
    }
}
