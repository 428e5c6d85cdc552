//! `backshift enqueue`: accepts jobs and prints their ids, each only once it is durable.
//!
//! `{n}` in a string of the payload is the job's number, from 0. Jobs go in batches, so that a million of
//! them need neither a million round trips nor the memory of a million payloads. A payload is measured before it is made:
//! a line of 2 MiB that asks for a million jobs costs its own bytes and one message.

mod args;
mod line;

use std::{
    io::{BufRead, Read as _},
    time::{Duration, Instant},
};

use backshift_core::{Accepted, Client, Envelope, JobId, UniquePolicy, client::check_size};
use indicatif::{ProgressBar, ProgressStyle};

use super::{known_kinds::KnownKinds, known_queues::KnownQueues};
use crate::{
    exit::Failure,
    output,
    wiring::{Backend, Foreign},
};
pub(crate) use args::Args;
use line::{Line, Template, from_flags, template};

/// The most jobs of a batch.
const BATCH: usize = 500;
/// A batch with this many bytes of payloads is full.
const BATCH_BYTES: usize = 4 << 20;
/// The longest line of standard input; a payload has at most 256 KiB, and its JSON a few bytes more.
const LINE_BYTES: usize = 2 << 20;
/// How long one batch is repeated while the server is away (docs/contracts/probe.md).
const PATIENCE: Duration = Duration::from_secs(10);

/// Accepts what the flags or standard input say. However it ends, a program that reads the ids gets a whole array.
pub(super) async fn run(args: &Args, backend: Result<Backend, Failure>) -> Result<(), Failure> {
    let backend = backend.inspect_err(|_| {
        if args.json {
            output::line("[]")
        }
    })?;
    let sink = Sink::new(&backend, args);
    let ended = accept(args, sink).await;
    // Whoever waits for these jobs is told before the process is gone.
    backend.leave().await;
    ended
}

async fn accept(args: &Args, mut sink: Sink<'_>) -> Result<(), Failure> {
    let read = match args.stdin {
        true => read_lines(&mut sink).await,
        false => match sink.template(from_flags(args)).await {
            Ok(template) => sink.add_all(&template, None).await,
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
        match sink.template(entry).await {
            Ok(template) => sink.add_all(&template, Some(number)).await?,
            Err(failure) if failure.is_misuse() => sink.misused(&format!("line {number}: {failure}")),
            Err(failure) => return Err(failure),
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

/// The most causes that are kept to be told once; more are told as they come.
const CAUSES: usize = 16;

/// One refusal, and how many jobs met it.
struct Cause {
    jobs: u64,
    /// The first of them.
    first: Option<JobId>,
    failure: Failure,
}

impl Cause {
    fn told(&self) -> String {
        match (self.jobs, self.first) {
            (1, Some(id)) => format!("not accepted: {id}: {}", self.failure),
            (1, None) => format!("not accepted: {}", self.failure),
            (jobs, _) => format!("{jobs} jobs not accepted: {}", self.failure),
        }
    }
}

/// Collects batches, sends them, prints what was accepted.
struct Sink<'a> {
    client: &'a Client,
    /// The foreign broker it enqueues to: the queues that workers look into by themselves depend on it.
    own: Option<&'a Foreign>,
    json: bool,
    waiting: Vec<Envelope>,
    /// Bytes of their payloads.
    bytes: usize,
    printed: u64,
    refused: u64,
    /// Those of the refused that are lines nobody can understand.
    misused: u64,
    /// Why servers refused, each cause once.
    causes: Vec<Cause>,
    bar: Option<ProgressBar>,
    /// `None` with `--new`.
    queues: Option<KnownQueues<'a>>,
    kinds: Option<KnownKinds<'a>>,
}

impl<'a> Sink<'a> {
    fn new(backend: &'a Backend, args: &Args) -> Self {
        let (json, count) = (args.json, args.count);
        let style = "{elapsed} {bar:40} {pos}/{len} accepted, {per_sec}";
        let bar = (count > 5000).then(|| {
            ProgressBar::new(count).with_style(
                ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
            )
        });
        let (client, own) = (&backend.client, backend.own());
        Self {
            client,
            own,
            json,
            waiting: Vec::new(),
            bytes: 0,
            printed: 0,
            refused: 0,
            misused: 0,
            causes: Vec::new(),
            bar,
            queues: (!args.new).then(|| KnownQueues::of(backend)),
            kinds: (!args.new).then(|| KnownKinds::of(backend)),
        }
    }

    /// Checks a line; a queue that is new is told, a mistyped one refused; a kind that is new is told.
    async fn template(&mut self, line: Result<Line, Failure>) -> Result<Template, Failure> {
        let template = template(&line?, self.own)?;
        let remark = match &mut self.queues {
            Some(queues) => queues.judge(&template.queue).await?,
            None => None,
        };
        let of_kind = match &mut self.kinds {
            Some(kinds) => kinds.judge(&template.kind).await,
            None => None,
        };
        remark.iter().chain(&of_kind).for_each(|remark| self.say(remark));
        Ok(template)
    }

    /// `line` = where the template stands on standard input.
    async fn add_all(&mut self, template: &Template, line: Option<u64>) -> Result<(), Failure> {
        for n in 0..template.count {
            let size = template.size(n);
            if let Err(error) = check_size(size) {
                // So are all that would come after it.
                match line {
                    None => self.because(template.count - n, None, Failure::failed(error)),
                    Some(line) => self.refuse(template.count - n, &format!("line {line}: {error}")),
                }
                break;
            }
            let (kind, queue, payload) = (template.kind.clone(), template.queue.clone(), template.payload(n));
            self.waiting.push(self.client.envelope(kind, queue, payload, template.options.clone()));
            self.bytes += size;
            if self.waiting.len() == BATCH || self.bytes >= BATCH_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Sends the batch; repeats what a server that is away did not accept, with the same ids.
    async fn flush(&mut self) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        let mut batch = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        while !batch.is_empty() {
            let answers = self.client.enqueue_many(batch.clone()).await;
            let mut again = Vec::new();
            let mut problem = None;
            for (envelope, answer) in batch.into_iter().zip(answers) {
                match answer {
                    Ok(accepted) => self.accept(&accepted, &envelope),
                    Err(error) if error.is_transient() => {
                        problem = Some(error);
                        again.push(envelope);
                    }
                    Err(error) => self.because(1, Some(envelope.id), error.into()),
                }
            }
            batch = again;
            let Some(problem) = problem else { break };
            if Instant::now() >= until {
                self.because(batch.len() as u64, batch.first().map(|envelope| envelope.id), problem.into());
                return Err(self.verdict());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    }

    /// Remembers why these were refused; a million jobs that meet one wrong password are one line.
    fn because(&mut self, jobs: u64, first: Option<JobId>, failure: Failure) {
        let text = failure.to_string();
        if let Some(cause) = self.causes.iter_mut().find(|cause| cause.failure.to_string() == text) {
            cause.jobs += jobs;
            self.refused += jobs;
        } else if self.causes.len() < CAUSES {
            self.causes.push(Cause { jobs, first, failure });
            self.refused += jobs;
        } else {
            let place = first.map(|id| format!("{id}: ")).unwrap_or_default();
            self.refuse(jobs, &format!("{place}{text}"));
        }
    }

    /// What the command ends with: the one cause, or each said and a sum. Asked for when something was refused.
    fn verdict(&mut self) -> Failure {
        let causes = std::mem::take(&mut self.causes);
        let (refused, printed) = (self.refused, self.printed);
        if let [cause] = &causes[..]
            && cause.jobs == refused
        {
            let text = cause.told();
            let Some(cause) = causes.into_iter().next() else { return Failure::failed(text) };
            return match printed {
                0 => cause.failure.reworded(|_| text),
                _ => Failure::failed(format!("{text}; {printed} were accepted")),
            };
        }
        causes.iter().for_each(|cause| self.say(&cause.told()));
        let sum = format!("{refused} {} not accepted", if refused == 1 { "job was" } else { "jobs were" });
        match refused {
            // Nothing was even tried: the command was used wrongly.
            refused if refused == self.misused && printed == 0 => Failure::usage(sum),
            _ => Failure::failed(sum),
        }
    }

    fn accept(&mut self, accepted: &Accepted, sent: &Envelope) {
        match accepted {
            Accepted::New(_) => {}
            Accepted::Known { id, same_payload: false } => {
                self.say(&format!("{id}: accepted before with another payload; the first one is kept"));
            }
            Accepted::Known { .. } => {}
            Accepted::Unique(id) => {
                let text = "an unfinished job holds the unique key, no second one was added";
                let now = match sent.unique.as_ref().map(|unique| unique.policy) {
                    Some(UniquePolicy::Replace) => "; if it still waits, it has this payload now",
                    _ => "",
                };
                self.say(&format!("{id}: {text}{now}"));
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

    fn refuse(&mut self, jobs: u64, text: &str) {
        self.refused += jobs;
        match jobs {
            1 => self.say(&format!("not accepted: {text}")),
            _ => self.say(&format!("{jobs} jobs not accepted: {text}")),
        }
    }

    fn misused(&mut self, text: &str) {
        self.misused += 1;
        self.refuse(1, text);
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
        match (self.refused, self.printed) {
            (0, 0) => {
                output::nothing("standard input held no job, nothing was enqueued");
                Ok(())
            }
            (0, _) => Ok(()),
            _ => Err(self.verdict()),
        }
    }
}
