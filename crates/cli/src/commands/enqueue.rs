//! `backshift enqueue`: accepts jobs and prints their ids, each only once it is durable.
//!
//! `{n}` in a string of the payload is the job's number, from 0. Jobs go in batches, so that a million of
//! them need neither a million round trips nor the memory of a million payloads.

use std::{
    io::{BufRead, Read as _},
    time::{Duration, Instant},
};

use backshift_core::{
    Accepted, Client, EnqueueOptions, Envelope, JobId, Kind, QueueName, Timestamp, UniqueKey, UniquePolicy,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    args::{Enqueue, MOST},
    config,
    exit::Failure,
    output,
    wiring::{Backend, own_queue},
};

const BATCH: usize = 500;
/// The longest line of standard input; a payload has at most 256 KiB, and its JSON a few bytes more.
const LINE_BYTES: usize = 2 << 20;
/// How long one batch is repeated while the server is away (contracts/probe.md).
const PATIENCE: Duration = Duration::from_secs(10);

/// One line of standard input, or the flags in the same shape.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    kind: String,
    queue: Option<String>,
    id: Option<String>,
    payload: Box<RawValue>,
    count: Option<u64>,
    #[serde(rename = "in")]
    delay: Option<String>,
    at: Option<String>,
    #[serde(default)]
    priority: i16,
    unique_key: Option<String>,
    unique_policy: Option<String>,
}

/// Accepts what the flags or standard input say. However it ends, a program that reads the ids gets a whole array.
pub(super) async fn run(args: &Enqueue, backend: Result<Backend, Failure>) -> Result<(), Failure> {
    let backend = backend.inspect_err(|_| {
        if args.json {
            output::line("[]")
        }
    })?;
    let sink = Sink::new(&backend, args.json, args.count);
    let ended = accept(args, sink).await;
    // Whoever waits for these jobs is told before the process is gone.
    backend.leave().await;
    ended
}

async fn accept(args: &Enqueue, mut sink: Sink<'_>) -> Result<(), Failure> {
    let read = match args.stdin {
        true => read_lines(&mut sink).await,
        false => match from_flags(args).and_then(|line| template(&line, sink.broker)) {
            Ok(template) => sink.add_all(&template).await,
            Err(failure) => Err(failure),
        },
    };
    sink.finish(read).await
}

async fn read_lines(sink: &mut Sink<'_>) -> Result<(), Failure> {
    let (mut input, mut line) = (std::io::stdin().lock(), Vec::new());
    for number in 1_u64.. {
        let whole = next_line(&mut input, &mut line)
            .map_err(|error| Failure::failed(format!("standard input: {error}")))?;
        let entry: Result<Line, Failure> = match whole {
            None => break,
            Some(_) if line.trim_ascii().is_empty() => continue,
            Some(true) => serde_json::from_slice(&line).map_err(Failure::usage),
            Some(false) => Err(Failure::usage(format!("longer than {LINE_BYTES} bytes"))),
        };
        match entry.and_then(|entry| template(&entry, sink.broker)) {
            Ok(template) => sink.add_all(&template).await?,
            Err(failure) => sink.misused(&format!("line {number}: {failure}")),
        }
    }
    Ok(())
}

/// Reads the next line; `Some(false)` when it is too long, and then its rest is passed over. `None` at the end.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<Option<bool>> {
    line.clear();
    input.by_ref().take(LINE_BYTES as u64).read_until(b'\n', line)?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(true)),
        Some(_) if line.len() < LINE_BYTES => Ok(Some(true)),
        Some(_) => input.skip_until(b'\n').map(|_| Some(false)),
    }
}

fn from_flags(args: &Enqueue) -> Result<Line, Failure> {
    let payload = args.payload.clone().unwrap_or_default();
    let payload = RawValue::from_string(payload)
        .map_err(|error| Failure::usage(format!("--payload is not JSON: {error}")))?;
    Ok(Line {
        kind: args.kind.clone().unwrap_or_default(),
        queue: args.queue.clone(),
        id: args.id.clone(),
        payload,
        count: args.id.is_none().then_some(args.count),
        delay: args.delay.clone(),
        at: args.at.clone(),
        priority: args.priority,
        unique_key: args.unique_key.clone(),
        unique_policy: Some(args.unique_policy.clone()),
    })
}

/// A line that was checked: makes as many envelopes as it asks for.
struct Template {
    kind: Kind,
    queue: QueueName,
    payload: String,
    numbered: bool,
    count: u64,
    options: EnqueueOptions,
}

fn template(line: &Line, broker: &str) -> Result<Template, Failure> {
    if line.id.is_some() && line.count.is_some() {
        return Err(Failure::usage("count together with id: one id names one job"));
    }
    if line.count.is_some_and(|count| !(1..=MOST).contains(&count)) {
        return Err(Failure::usage(format!("count is a whole number from 1 to {MOST}")));
    }
    if line.delay.is_some() && line.at.is_some() {
        return Err(Failure::usage("give either in or at, not both"));
    }
    let options = EnqueueOptions {
        id: line.id.as_deref().map(str::parse).transpose().map_err(Failure::usage)?,
        run_at: run_at(line)?,
        priority: line.priority,
        unique: unique(line)?,
        ..EnqueueOptions::default()
    };
    let payload = line.payload.get().to_owned();
    let kind = Kind::new(&line.kind).map_err(Failure::usage)?;
    let queue = line.queue.as_deref().unwrap_or_else(|| own_queue(&kind, broker));
    Ok(Template {
        queue: QueueName::new(queue).map_err(Failure::usage)?,
        kind,
        numbered: payload.contains("{n}"),
        payload,
        count: line.count.unwrap_or(1),
        options,
    })
}

fn run_at(line: &Line) -> Result<Option<Timestamp>, Failure> {
    match (&line.delay, &line.at) {
        (Some(delay), _) => {
            let delay = config::duration(delay).map_err(Failure::usage)?;
            let far = || Failure::usage(format!("in {delay:?} is too far away"));
            Ok(Some(Timestamp::now().checked_add(delay).map_err(|_| far())?))
        }
        (None, Some(at)) => {
            at.parse().map(Some).map_err(|e| Failure::usage(format!("at {at:?} is no RFC 3339 time: {e}")))
        }
        (None, None) => Ok(None),
    }
}

fn unique(line: &Line) -> Result<Option<UniqueKey>, Failure> {
    let policy = line.unique_policy.as_deref().unwrap_or("reject");
    let policy: UniquePolicy = policy.parse().map_err(Failure::usage)?;
    Ok(line.unique_key.clone().map(|key| UniqueKey { key, policy }))
}

/// Collects batches, sends them, prints what was accepted.
struct Sink<'a> {
    client: &'a Client,
    /// Its name: the queues that workers look into by themselves depend on it.
    broker: &'static str,
    json: bool,
    waiting: Vec<Envelope>,
    printed: u64,
    refused: u64,
    /// Those of the refused that are lines nobody can understand.
    misused: u64,
    bar: Option<ProgressBar>,
}

impl<'a> Sink<'a> {
    fn new(backend: &'a Backend, json: bool, count: u64) -> Self {
        let style = "{elapsed} {bar:40} {pos}/{len} accepted, {per_sec}";
        let bar = (count > 5000).then(|| {
            ProgressBar::new(count).with_style(
                ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
            )
        });
        let (client, broker) = (&backend.client, backend.broker.name());
        Self { client, broker, json, waiting: Vec::new(), printed: 0, refused: 0, misused: 0, bar }
    }

    async fn add_all(&mut self, template: &Template) -> Result<(), Failure> {
        for n in 0..template.count {
            let payload = match template.numbered {
                true => template.payload.replace("{n}", &n.to_string()),
                false => template.payload.clone(),
            };
            let (kind, queue) = (template.kind.clone(), template.queue.clone());
            self.waiting.push(self.client.envelope(kind, queue, payload, template.options.clone()));
            if self.waiting.len() == BATCH {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Sends the batch; repeats what a server that is away did not accept, with the same ids.
    async fn flush(&mut self) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        let mut batch = std::mem::take(&mut self.waiting);
        while !batch.is_empty() {
            let answers = self.client.enqueue_many(batch.clone()).await;
            let mut again = Vec::new();
            let mut problem = None;
            for (envelope, answer) in batch.into_iter().zip(answers) {
                match answer {
                    Ok(accepted) => self.accept(&accepted),
                    Err(error) if error.is_transient() => {
                        problem = Some(error);
                        again.push(envelope);
                    }
                    Err(error) => self.refuse(&format!("{}: {error}", envelope.id)),
                }
            }
            batch = again;
            let Some(problem) = problem else { break };
            if Instant::now() >= until {
                batch.iter().for_each(|envelope| self.refuse(&format!("{}: {problem}", envelope.id)));
                return Err(self.away(&problem.to_string()));
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    }

    fn away(&self, problem: &str) -> Failure {
        if self.printed == 0 {
            return Failure::unreachable(problem);
        }
        Failure::failed(format!("{} jobs accepted, {} not: {problem}", self.printed, self.refused))
    }

    fn accept(&mut self, accepted: &Accepted) {
        match accepted {
            Accepted::New(_) => {}
            Accepted::Known { id, same_payload: false } => {
                self.say(&format!("{id}: accepted before with another payload; the first one is kept"));
            }
            Accepted::Known { .. } => {}
            Accepted::Unique(id) => {
                let text = "an unfinished job holds the unique key, no second one was added; with replace it has this payload now";
                self.say(&format!("{id}: {text}"));
            }
        }
        self.print(accepted.id());
    }

    fn print(&mut self, id: JobId) {
        let text = match (self.json, self.printed) {
            (false, _) => format!("{id}\n"),
            (true, 0) => format!("[\"{id}\""),
            (true, _) => format!(",\"{id}\""),
        };
        output::piece(&text);
        self.printed += 1;
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    fn refuse(&mut self, text: &str) {
        self.refused += 1;
        self.say(&format!("not accepted: {text}"));
    }

    fn misused(&mut self, text: &str) {
        self.misused += 1;
        self.refuse(text);
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    fn close(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        match (self.json, self.printed) {
            (true, 0) => output::line("[]"),
            (true, _) => output::line("]"),
            (false, _) => {}
        }
    }

    /// Sends the rest and says how it went; what was read before the input broke off is sent too.
    async fn finish(mut self, read: Result<(), Failure>) -> Result<(), Failure> {
        let sent = self.flush().await;
        self.close();
        read.and(sent)?;
        let not_accepted = format!("{} jobs were not accepted", self.refused);
        match self.refused {
            0 => Ok(()),
            // Nothing was even tried: the command was used wrongly.
            refused if refused == self.misused && self.printed == 0 => Err(Failure::usage(not_accepted)),
            _ => Err(Failure::failed(not_accepted)),
        }
    }
}
