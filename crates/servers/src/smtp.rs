//! SMTP servers that accept every mail: Postfix' `smtp-sink`. One only swallows; the other also keeps each mail as a
//! file (`X-Mail-Args`, `X-Rcpt-Args` lines, then the message as received), for tests that read what arrived.

use anyhow::{Result, bail};

use crate::{Launch, Service, Site, programs, wire};

/// A sink.
#[derive(Debug)]
pub struct SmtpSink {
    name: &'static str,
    keeps: bool,
}

impl SmtpSink {
    /// Swallows everything: for load.
    pub const COUNTING: Self = Self { name: "smtp-sink", keeps: false };
    /// Keeps every mail in a directory: for scenarios.
    pub const KEEPING: Self = Self { name: "smtp-keep", keeps: true };
}

impl Service for SmtpSink {
    fn name(&self) -> &'static str {
        self.name
    }

    fn program(&self) -> &'static str {
        "smtp-sink"
    }

    fn package(&self) -> &'static str {
        "postfix"
    }

    fn prepare(&self, site: &Site) -> Result<()> {
        if self.keeps { site.make_dir("mails").map(drop) } else { Ok(()) }
    }

    fn launch(&self, site: &Site) -> Result<Launch> {
        let mut args = vec!["-h".to_owned(), format!("backshift-{}.test", site.nonce)];
        if self.keeps {
            args.extend(["-d".to_owned(), format!("{}/", site.file("mails").display())]);
        }
        args.extend([self.url(site)?, "256".to_owned()]);
        Ok(Launch::new(programs::find(self.program())?, args))
    }

    fn probe(&self, site: &Site) -> Result<()> {
        let port = site.port("main")?;
        let said = wire::greeting(port)?;
        if !said.starts_with("220 ") || !said.contains(&site.nonce) {
            bail!("port {port} does not answer as our SMTP sink ({said:?})");
        }
        Ok(())
    }

    /// Host and port: nobody gives a mail server's address as a URL.
    fn url(&self, site: &Site) -> Result<String> {
        Ok(format!("127.0.0.1:{}", site.port("main")?))
    }

    fn variables(&self, site: &Site) -> Result<Vec<(&'static str, String)>> {
        let address = self.url(site)?;
        if !self.keeps {
            return Ok(vec![("BACKSHIFT_TEST_SMTP_SINK", address)]);
        }
        let mails = site.file("mails").display().to_string();
        Ok(vec![("BACKSHIFT_TEST_SMTP_KEEP", address), ("BACKSHIFT_TEST_SMTP_KEEP_DIR", mails)])
    }
}
