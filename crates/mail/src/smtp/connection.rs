//! One ready connection and what its server can do.
//!
//! A connection goes back to the pool only when the server and we agree on the state: see `transaction`.

use std::time::Duration;

use tokio::time::Instant;

use super::error::WireError;
use super::reply::Reply;
use super::stream::Stream;
use crate::outcome::{Outcome, Stage};

/// For QUIT: politeness is not worth waiting for.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);

/// A failure and where it happened.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) stage: Stage,
    pub(super) error: WireError,
}

impl Failed {
    pub(super) fn into_outcome(self) -> Outcome {
        self.error.into_outcome(self.stage)
    }
}

/// What the server offered in its answer to EHLO.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub(super) pipelining: bool,
    pub(super) eight_bit: bool,
    pub(super) starttls: bool,
    pub(super) auth_plain: bool,
    pub(super) auth_login: bool,
    /// Whether the server knows SIZE at all.
    pub(super) size: bool,
    /// The largest mail; `None` when it names no limit.
    pub(super) max_size: Option<usize>,
}

impl Capabilities {
    pub(super) fn from_ehlo(reply: &Reply) -> Self {
        let mut found = Self::default();
        for line in reply.lines.iter().skip(1) {
            let line = line.to_ascii_uppercase().replace("AUTH=", "AUTH ");
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("PIPELINING") => found.pipelining = true,
                Some("8BITMIME") => found.eight_bit = true,
                Some("STARTTLS") => found.starttls = true,
                Some("SIZE") => {
                    found.size = true;
                    found.max_size = words.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
                }
                Some("AUTH") => {
                    for mechanism in words {
                        found.auth_plain |= mechanism == "PLAIN";
                        found.auth_login |= mechanism == "LOGIN";
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// An open, greeted, protected and authenticated connection.
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) capabilities: Capabilities,
    pub(super) command_timeout: Duration,
    pub(super) final_timeout: Duration,
    /// Mails tried over it.
    pub(super) used: u32,
    /// Since when it is idle.
    pub(super) idle_since: Instant,
}

impl Connection {
    /// Writes one command and reads its answer.
    pub(super) async fn command(&mut self, stage: Stage, line: &str) -> Result<Reply, Failed> {
        let result = async {
            self.stream.write(line.as_bytes(), self.command_timeout).await?;
            self.stream.read_reply(self.command_timeout).await
        };
        result.await.map_err(|error| Failed { stage, error })
    }

    /// Says goodbye and closes; never fails, never waits long.
    pub(super) async fn quit(mut self) {
        if self.stream.write(b"QUIT\r\n", QUIT_TIMEOUT).await.is_ok() {
            let _ = self.stream.read_reply(QUIT_TIMEOUT).await;
        }
    }
}

/// A 2xx reply passes, any other becomes a failure at `stage`.
pub(super) fn positive(stage: Stage, reply: Reply) -> Result<Reply, Failed> {
    match reply.code / 100 {
        2 => Ok(reply),
        4 | 5 => Err(Failed { stage, error: WireError::Refused(reply) }),
        _ => Err(Failed { stage, error: WireError::Nonsense("the server asked for something out of turn") }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Capabilities, Reply};

    #[test]
    fn reads_ehlo() {
        let reply = Reply::parse(
            "250-x\n250-pipelining\n250-SIZE 1000\n250-AUTH=LOGIN\n250-AUTH CRAM-MD5 PLAIN\n250 STARTTLS",
        )
        .unwrap();
        let found = Capabilities::from_ehlo(&reply);
        assert!(found.pipelining && found.starttls && found.auth_login && found.auth_plain && found.size);
        assert_eq!((found.eight_bit, found.max_size), (false, Some(1000)));
        assert_eq!(Capabilities::from_ehlo(&Reply::parse("250-x\n250 SIZE 0").unwrap()).max_size, None);
        // The first line is the server's name, not an offer.
        assert!(!Capabilities::from_ehlo(&Reply::parse("250 STARTTLS").unwrap()).starttls);
    }
}
