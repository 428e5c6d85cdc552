//! A peer as a process: it fills, says `filled`, waits to be told, drains, says `handled`, and checks itself at its end.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::program;
use crate::harness::Server;

/// A peer's program with its standard streams.
pub(super) struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    words: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts `NAME PLACE JOBS`.
    pub(super) fn start(name: &str, place: &str, jobs: u64) -> Result<Self> {
        let mut command = Command::new(program(name)?);
        command
            .arg(place)
            .arg(jobs.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let orders = child.stdin.take();
        let words = child.stdout.take().context("a peer without standard output")?;
        Ok(Self { child, orders, words: BufReader::new(words).lines() })
    }

    /// Waits for its next word.
    pub(super) async fn says(&mut self, word: &str) -> Result<()> {
        let line = self.words.next_line().await?;
        ensure!(line.as_deref() == Some(word), "the peer said {line:?} instead of {word:?}");
        Ok(())
    }

    /// Tells it to begin.
    pub(super) async fn go(&mut self) -> Result<()> {
        let orders = self.orders.as_mut().context("a peer without standard input")?;
        orders.write_all(b"go\n").await?;
        Ok(orders.flush().await?)
    }

    /// The process, for its processor time.
    pub(super) fn server(&self) -> Result<Server> {
        Ok(Server::process(self.child.id().context("the peer has ended")?))
    }

    /// Lets it check that every job ran once.
    pub(super) async fn end(mut self) -> Result<()> {
        drop(self.orders.take());
        let status = self.child.wait().await?;
        ensure!(status.success(), "void: the peer ended with {status}");
        Ok(())
    }
}
