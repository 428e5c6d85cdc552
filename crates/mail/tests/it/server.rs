//! An SMTP server that follows a script: well-behaved where the script says nothing.
//!
//! It records every command, every mail and the number of reads, so that tests can tell what really crossed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backshift_testkit::{
    ports::free_port,
    wait::{self, PATIENCE},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What the server does instead of its normal answer.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Say(&'static str),
    /// Several times the same text, then nothing: for answers beyond all bounds.
    Flood(&'static str, usize),
    Slow(Duration, &'static str),
    SayAndCut(&'static str),
    Cut,
    Silent,
}

/// The moments of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum At {
    Greeting,
    Ehlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// In the middle of the body.
    Body,
    Final,
}

#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) offers: Vec<&'static str>,
    /// Used up in order, over all connections.
    pub(crate) acts: HashMap<At, VecDeque<Act>>,
    /// Answers by recipient, always.
    pub(crate) recipients: HashMap<&'static str, &'static str>,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) implicit: bool,
    /// Sent together with the 220 to STARTTLS, in the clear.
    pub(crate) injected: &'static str,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            offers: vec!["PIPELINING", "SIZE 30000000", "8BITMIME"],
            acts: HashMap::new(),
            recipients: HashMap::new(),
            tls: None,
            implicit: false,
            injected: "",
        }
    }
}

impl Script {
    pub(crate) fn on(mut self, at: At, act: Act) -> Self {
        self.acts.entry(at).or_default().push_back(act);
        self
    }

    pub(crate) fn offers(mut self, offers: &[&'static str]) -> Self {
        self.offers = offers.to_vec();
        self
    }

    pub(crate) fn refuses(mut self, to: &'static str, reply: &'static str) -> Self {
        self.recipients.insert(to, reply);
        self
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) data: Vec<u8>,
}

#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    pub(crate) open: usize,
    pub(crate) most_open: usize,
    pub(crate) commands: Vec<String>,
    pub(crate) mails: Vec<Mail>,
    pub(crate) reads: usize,
    pub(crate) bytes_in_clear: Vec<u8>,
}

pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(script: Script) -> Self {
        // No other test's server may sit there when this one is gone.
        let port = free_port().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = seen.clone();
        let acts = Arc::new(Mutex::new(script.acts.clone()));
        let task = tokio::spawn(async move {
            let mut talks = tokio::task::JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                // The server's own answers must not wait either: only the client is on trial.
                tcp.set_nodelay(true).unwrap();
                {
                    let mut seen = shared.lock().unwrap();
                    seen.connections += 1;
                    seen.open += 1;
                    seen.most_open = seen.most_open.max(seen.open);
                }
                let talk = Talk::new(Box::new(tcp), script.clone(), acts.clone(), shared.clone());
                let shared = shared.clone();
                talks.spawn(async move {
                    // An error is the client going away.
                    let _ = talk.run().await;
                    shared.lock().unwrap().open -= 1;
                });
            }
        });
        Self { port, seen, task }
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.seen.lock().unwrap().mails.clone()
    }

    pub(crate) fn commands(&self) -> Vec<String> {
        self.seen.lock().unwrap().commands.clone()
    }

    pub(crate) fn count(&self, verb: &str) -> usize {
        self.commands().iter().filter(|c| c.starts_with(verb)).count()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    /// Waits until the condition holds.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Seen) -> bool) {
        let came = wait::until(PATIENCE, || async { condition(&self.seen.lock().unwrap()) }).await;
        assert!(came, "never saw: {what}: {:?}", self.seen.lock().unwrap());
    }
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

struct Talk {
    wire: Box<dyn Wire>,
    script: Script,
    acts: Arc<Mutex<HashMap<At, VecDeque<Act>>>>,
    seen: Arc<Mutex<Seen>>,
    unread: Vec<u8>,
    /// Bytes of `unread` that were read as lines.
    used: usize,
    protected: bool,
    from: String,
    to: Vec<String>,
}

/// The conversation is over.
struct Over;

impl Talk {
    fn new(
        wire: Box<dyn Wire>,
        script: Script,
        acts: Arc<Mutex<HashMap<At, VecDeque<Act>>>>,
        seen: Arc<Mutex<Seen>>,
    ) -> Self {
        let unread = Vec::new();
        Self {
            wire,
            script,
            acts,
            seen,
            unread,
            used: 0,
            protected: false,
            from: String::new(),
            to: Vec::new(),
        }
    }

    async fn run(mut self) -> Result<(), Over> {
        if self.script.implicit {
            self = self.protect().await?;
        }
        self.answer(At::Greeting, "220 test ESMTP").await?;
        loop {
            let line = self.line().await?;
            self.seen.lock().unwrap().commands.push(line.clone());
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => self.ehlo().await?,
                "STARTTLS" => {
                    let injected = self.script.injected;
                    self.answer(At::StartTls, &format!("220 go ahead\r\n{injected}")).await?;
                    self = self.protect().await?;
                }
                "AUTH" => self.auth(&line).await?,
                "MAIL" => {
                    self.from = inside(&line);
                    self.to.clear();
                    self.answer(At::Mail, "250 2.1.0 ok").await?;
                }
                "RCPT" => self.rcpt(&line).await?,
                "DATA" => self.data().await?,
                "RSET" => self.say("250 reset").await?,
                "QUIT" => {
                    self.say("221 bye").await?;
                    return Err(Over);
                }
                _ => self.say("500 what").await?,
            }
        }
    }

    async fn ehlo(&mut self) -> Result<(), Over> {
        let mut lines = vec!["test"];
        lines.extend(self.script.offers.iter().filter(|o| !self.protected || **o != "STARTTLS"));
        let last = lines.len() - 1;
        let text =
            lines.iter().enumerate().map(|(i, l)| format!("250{}{l}", if i == last { ' ' } else { '-' }));
        let text = text.collect::<Vec<_>>().join("\r\n");
        self.answer(At::Ehlo, &text).await
    }

    async fn auth(&mut self, line: &str) -> Result<(), Over> {
        if line == "AUTH LOGIN" {
            for prompt in ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"] {
                self.say(prompt).await?;
                let line = self.line().await?;
                self.seen.lock().unwrap().commands.push(line);
            }
        }
        self.answer(At::Auth, "235 2.7.0 welcome").await
    }

    async fn rcpt(&mut self, line: &str) -> Result<(), Over> {
        let to = inside(line);
        if let Some(reply) = self.script.recipients.get(to.as_str()) {
            return self.say(reply).await;
        }
        let accepted = self.acts.lock().unwrap().get(&At::Rcpt).is_none_or(VecDeque::is_empty);
        if accepted {
            self.to.push(to);
        }
        self.answer(At::Rcpt, "250 2.1.5 ok").await
    }

    async fn data(&mut self) -> Result<(), Over> {
        let refused = self.acts.lock().unwrap().get(&At::Data).is_some_and(|acts| !acts.is_empty());
        // Like some real servers: 354 even when no recipient was accepted.
        self.answer(At::Data, "354 go on").await?;
        if refused {
            return Ok(());
        }
        let mut data = Vec::new();
        loop {
            let line = self.raw_line().await?;
            if self.acts.lock().unwrap().get(&At::Body).is_some_and(|acts| !acts.is_empty()) {
                self.answer(At::Body, "").await?;
            }
            if line == b".\r\n" {
                break;
            }
            data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        let mail = Mail { from: self.from.clone(), to: self.to.clone(), data };
        self.seen.lock().unwrap().commands.push(".".into());
        let plain = self.acts.lock().unwrap().get(&At::Final).is_none_or(VecDeque::is_empty);
        if plain {
            self.seen.lock().unwrap().mails.push(mail);
        }
        self.answer(At::Final, "250 2.0.0 queued as 1").await
    }

    async fn answer(&mut self, at: At, normal: &str) -> Result<(), Over> {
        let act = self.acts.lock().unwrap().get_mut(&at).and_then(VecDeque::pop_front);
        match act {
            None => self.say(normal).await,
            Some(Act::Say(text)) => self.say(text).await,
            Some(Act::Flood(text, times)) => self.say(&text.repeat(times)).await,
            Some(Act::Slow(delay, text)) => {
                tokio::time::sleep(delay).await;
                self.say(text).await
            }
            Some(Act::SayAndCut(text)) => {
                self.say(text).await?;
                Err(Over)
            }
            Some(Act::Cut) => Err(Over),
            Some(Act::Silent) => std::future::pending().await,
        }
    }

    async fn say(&mut self, text: &str) -> Result<(), Over> {
        let text =
            if text.ends_with('\n') || text.is_empty() { text.to_owned() } else { format!("{text}\r\n") };
        self.wire.write_all(text.as_bytes()).await.map_err(|_| Over)?;
        self.wire.flush().await.map_err(|_| Over)
    }

    async fn protect(mut self) -> Result<Self, Over> {
        let acceptor = self.script.tls.clone().ok_or(Over)?;
        let stream = acceptor.accept(self.wire).await.map_err(|_| Over)?;
        self.wire = Box::new(stream);
        self.protected = true;
        self.unread.clear();
        self.used = 0;
        Ok(self)
    }

    async fn line(&mut self) -> Result<String, Over> {
        let line = self.raw_line().await?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    async fn raw_line(&mut self) -> Result<Vec<u8>, Over> {
        loop {
            let rest = &self.unread[self.used..];
            if let Some(at) = rest.iter().position(|b| *b == b'\n') {
                let line = rest[..=at].to_vec();
                self.used += at + 1;
                return Ok(line);
            }
            self.unread.drain(..self.used);
            self.used = 0;
            let mut chunk = vec![0_u8; 128 << 10];
            let read = self.wire.read(&mut chunk).await.map_err(|_| Over)?;
            if read == 0 {
                return Err(Over);
            }
            let mut seen = self.seen.lock().unwrap();
            seen.reads += 1;
            if !self.protected {
                seen.bytes_in_clear.extend_from_slice(&chunk[..read]);
            }
            self.unread.extend_from_slice(&chunk[..read]);
        }
    }
}

fn inside(line: &str) -> String {
    line.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}
