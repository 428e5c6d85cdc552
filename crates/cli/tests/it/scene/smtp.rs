//! A mail server with moods: it records every mail and answers each recipient as the test wishes.
//!
//! A mood is used up by one transaction to its recipient; when none is left the server is friendly.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use backshift_testkit::{ports::free_port, wait};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{
        TcpListener,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::{AbortHandle, JoinHandle},
};

use super::PATIENCE;

/// What the server does with one transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mood {
    /// As when there is none.
    Friendly,
    /// This answer to RCPT.
    Rcpt(&'static str),
    /// This answer to the final dot; the mail is not taken.
    Final(&'static str),
    /// Closes the connection when DATA comes.
    CutBeforeData,
    /// Takes the mail, says nothing and closes the connection.
    CutAfterDot,
    /// Takes the mail and never answers.
    SilentAfterDot,
    /// Never answers RCPT.
    Silent,
}

/// A mail that the server took.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    /// The recipients of the envelope.
    pub(crate) to: Vec<String>,
    /// Header and body, unstuffed.
    pub(crate) data: String,
}

impl Mail {
    /// Parsed; keep the mail alive.
    pub(crate) fn parsed(&self) -> mail_parser::Message<'_> {
        mail_parser::MessageParser::default().parse(self.data.as_bytes()).expect("it is a mail")
    }

    /// The decoded subject.
    pub(crate) fn subject(&self) -> String {
        self.parsed().subject().unwrap_or_default().to_owned()
    }

    /// The Message-ID.
    pub(crate) fn message_id(&self) -> String {
        self.parsed().message_id().expect("every mail has a Message-ID").to_owned()
    }

    /// The one run of six digits in the text: the code.
    pub(crate) fn code(&self) -> String {
        let parsed = self.parsed();
        let text = parsed.body_text(0).expect("there is text").into_owned();
        let words = text.split(|c: char| !c.is_ascii_digit());
        words
            .filter(|word| word.len() == 6)
            .map(str::to_owned)
            .next()
            .unwrap_or_else(|| panic!("no code in {text:?}"))
    }
}

#[derive(Default)]
struct State {
    moods: HashMap<String, VecDeque<Mood>>,
    /// Answer to AUTH while set.
    auth: Option<&'static str>,
    /// Answer to MAIL FROM while set.
    sender: Option<&'static str>,
    /// Answer to STARTTLS, which is offered while set.
    starttls: Option<&'static str>,
    /// How long each answer to a final dot takes.
    delay: Duration,
    mails: Vec<Mail>,
    commands: Vec<String>,
}

/// The server; it ends with its value.
pub(crate) struct Smtp {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
    talks: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Smtp {
    /// A friendly server on a port of its own.
    pub(crate) async fn start() -> Self {
        let port = free_port().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let talks: Arc<Mutex<Vec<AbortHandle>>> = Arc::default();
        let accepting = tokio::spawn(serve(bind(port).await, Arc::clone(&state), Arc::clone(&talks)));
        Self { port, state, accepting, talks }
    }

    /// Nobody listens any more and open connections are cut.
    pub(crate) async fn stop(&mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
        self.talks.lock().unwrap().drain(..).for_each(|talk| talk.abort());
    }

    /// Cuts open connections and goes on listening.
    pub(crate) fn hang_up(&self) {
        self.talks.lock().unwrap().drain(..).for_each(|talk| talk.abort());
    }

    /// Listens again, on the same port.
    pub(crate) async fn restart(&mut self) {
        self.accepting =
            tokio::spawn(serve(bind(self.port).await, Arc::clone(&self.state), Arc::clone(&self.talks)));
    }

    /// The next transactions to this recipient go like this, one after the other.
    pub(crate) fn mood(&self, recipient: &str, moods: &[Mood]) {
        self.state.lock().unwrap().moods.insert(recipient.to_owned(), moods.iter().copied().collect());
    }

    /// Answers every AUTH like this until told otherwise.
    pub(crate) fn refuse_auth(&self, answer: Option<&'static str>) {
        self.state.lock().unwrap().auth = answer;
    }

    /// Answers every MAIL FROM like this until told otherwise.
    pub(crate) fn refuse_sender(&self, answer: Option<&'static str>) {
        self.state.lock().unwrap().sender = answer;
    }

    /// Offers STARTTLS and answers it like this; what comes after a 220 is not TLS.
    pub(crate) fn answer_starttls(&self, answer: Option<&'static str>) {
        self.state.lock().unwrap().starttls = answer;
    }

    /// Every mail takes this long from now on.
    pub(crate) fn slow(&self, delay: Duration) {
        self.state.lock().unwrap().delay = delay;
    }

    /// Everything that it took.
    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.state.lock().unwrap().mails.clone()
    }

    /// How many it took.
    pub(crate) fn number(&self) -> usize {
        self.state.lock().unwrap().mails.len()
    }

    /// What it took for this recipient.
    pub(crate) fn mails_to(&self, recipient: &str) -> Vec<Mail> {
        self.mails().into_iter().filter(|mail| mail.to.iter().any(|to| to == recipient)).collect()
    }

    /// How often a command that begins like this came.
    pub(crate) fn count(&self, command: &str) -> usize {
        self.state.lock().unwrap().commands.iter().filter(|line| line.starts_with(command)).count()
    }

    /// Waits for so many mails to this recipient and returns them.
    #[track_caller]
    pub(crate) fn wait_for(&self, recipient: &str, number: usize) -> impl Future<Output = Vec<Mail>> {
        let (recipient, caller) = (recipient.to_owned(), std::panic::Location::caller());
        async move {
            let there = wait::until(PATIENCE, || async { self.mails_to(&recipient).len() >= number }).await;
            let mails = self.mails_to(&recipient);
            assert!(there, "{} of {number} mails came to {recipient} ({caller})", mails.len());
            mails
        }
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        self.accepting.abort();
        self.talks.lock().unwrap().drain(..).for_each(|talk| talk.abort());
    }
}

async fn bind(port: u16) -> TcpListener {
    TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free")
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>, talks: Arc<Mutex<Vec<AbortHandle>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (reading, writing) = stream.into_split();
        let lines = BufReader::new(reading).lines();
        let talk = Talk { lines, writing, state: Arc::clone(&state), to: Vec::new(), mood: None };
        let talk = tokio::spawn(async move { drop(talk.run().await) });
        talks.lock().unwrap().push(talk.abort_handle());
    }
}

struct Talk {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writing: OwnedWriteHalf,
    state: Arc<Mutex<State>>,
    to: Vec<String>,
    mood: Option<Mood>,
}

/// The conversation is over.
struct Over;

impl Talk {
    async fn run(mut self) -> Result<(), Over> {
        self.say("220 scenario ESMTP").await?;
        loop {
            let line = self.line().await?;
            self.state.lock().unwrap().commands.push(line.clone());
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => self.hello().await?,
                "STARTTLS" => self.say_unless(|state| state.starttls, "502 5.5.1 not offered").await?,
                "AUTH" => self.say_unless(|state| state.auth, "235 2.7.0 welcome").await?,
                "MAIL" => {
                    self.to.clear();
                    self.mood = None;
                    self.say_unless(|state| state.sender, "250 2.1.0 ok").await?;
                }
                "RCPT" => self.rcpt(&line).await?,
                "DATA" => self.data().await?,
                "QUIT" => return self.say("221 bye").await,
                _ => self.say("250 ok").await?,
            }
        }
    }

    async fn hello(&mut self) -> Result<(), Over> {
        let offered = self.state.lock().unwrap().starttls.map_or("", |_| "250-STARTTLS\r\n");
        self.say(&format!(
            "250-scenario\r\n{offered}250-AUTH PLAIN LOGIN\r\n250-8BITMIME\r\n250 SIZE 30000000"
        ))
        .await
    }

    async fn rcpt(&mut self, line: &str) -> Result<(), Over> {
        let to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let mood = self.state.lock().unwrap().moods.get_mut(&to).and_then(VecDeque::pop_front);
        match mood {
            Some(Mood::Rcpt(answer)) => {
                self.say(answer).await?;
                // RFC 5321 §3.8: 421 says that the server closes the channel.
                return if answer.starts_with("421") { Err(Over) } else { Ok(()) };
            }
            Some(Mood::Silent) => std::future::pending().await,
            other => self.mood = self.mood.or(other),
        }
        self.to.push(to);
        self.say("250 2.1.5 ok").await
    }

    async fn data(&mut self) -> Result<(), Over> {
        if matches!(self.mood, Some(Mood::CutBeforeData)) {
            return Err(Over);
        }
        if self.to.is_empty() {
            return self.say("554 5.5.1 no valid recipients").await;
        }
        self.say("354 go on").await?;
        let mut data = String::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                break;
            }
            data.push_str(line.strip_prefix('.').unwrap_or(&line));
            data.push_str("\r\n");
        }
        if let Some(Mood::Final(answer)) = self.mood {
            return self.say(answer).await;
        }
        let delay = self.state.lock().unwrap().delay;
        tokio::time::sleep(delay).await;
        let mail = Mail { to: self.to.clone(), data };
        self.state.lock().unwrap().mails.push(mail);
        match self.mood {
            Some(Mood::CutAfterDot) => Err(Over),
            Some(Mood::SilentAfterDot) => std::future::pending().await,
            _ => self.say("250 2.0.0 queued").await,
        }
    }

    async fn say_unless(
        &mut self,
        refusal: impl Fn(&State) -> Option<&'static str>,
        normal: &str,
    ) -> Result<(), Over> {
        let refused = refusal(&self.state.lock().unwrap());
        self.say(refused.unwrap_or(normal)).await
    }

    async fn say(&mut self, text: &str) -> Result<(), Over> {
        self.writing.write_all(format!("{text}\r\n").as_bytes()).await.map_err(|_| Over)
    }

    async fn line(&mut self) -> Result<String, Over> {
        self.lines.next_line().await.map_err(|_| Over)?.ok_or(Over)
    }
}
