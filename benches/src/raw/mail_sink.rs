//! Postfix' `smtp-sink` on a port of its own: takes every mail, keeps none, and counts them.
//!
//! Its counters go into a file, because a pipe would make this process part of the server. They stand still only
//! after every answer has been read: ask when the senders are done.

use std::{
    fs::{self, File},
    io::Read as _,
    net::{TcpListener, TcpStream},
    os::unix::fs::MetadataExt as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// A sink; it ends with its value.
pub(crate) struct Sink {
    child: Child,
    counters: tempfile::NamedTempFile,
    pub(crate) port: u16,
}

impl Sink {
    /// Starts one that knows everything that smtp-sink can: PIPELINING, 8BITMIME, SIZE.
    ///
    /// # Errors
    /// When Postfix is not installed or no port is free.
    pub(crate) fn start() -> Result<Self> {
        let port = free_port()?;
        let counters = tempfile::NamedTempFile::new()?;
        let mut command = Command::new("smtp-sink");
        if fs::metadata("/proc/self")?.uid() == 0 {
            command.args(["-u", "nobody"]);
        }
        command.args(["-4", "-c", &format!("127.0.0.1:{port}"), "256"]);
        command.stdin(Stdio::null()).stdout(counters.reopen()?).stderr(Stdio::inherit());
        let child = command.spawn().context("smtp-sink cannot be started: install postfix")?;
        let mut sink = Self { child, counters, port };
        sink.wait_until_it_listens()?;
        Ok(sink)
    }

    /// How many mails it has taken.
    pub(crate) fn taken(&self) -> Result<u64> {
        let mut text = String::new();
        File::open(self.counters.path())?.read_to_string(&mut text)?;
        // `sess=10 quit=0 mesg=4711\r`, written anew after every mail.
        let last = text.rsplit("mesg=").next().context("smtp-sink has counted nothing")?;
        last.trim().parse().with_context(|| format!("smtp-sink's counter ends with {last:?}"))
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("smtp-sink ended at once: {status}");
            }
            if begun.elapsed() > Duration::from_secs(5) {
                bail!("smtp-sink does not listen on {}", self.port);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Below the ports that the system hands out, so that no client takes it in between.
fn free_port() -> Result<u16> {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap_or(0);
    let mut ports = (first..32_000).chain(20_000..first);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).context("no port is free")
}
