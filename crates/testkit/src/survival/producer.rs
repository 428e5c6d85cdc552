//! Who enqueues during the faults: the `backshift` binary, or a client of the user's program.
//!
//! A job whose answer is lost is enqueued again under the same id until it is confirmed; only confirmed ids count.

use std::{
    collections::{HashMap, HashSet},
    io,
    ops::Range,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use backshift_core::{Client, Envelope, JobId};
use serde_json::json;
use tokio::{io::AsyncWriteExt, process::Command};

use super::{Expected, Site};

/// How long one batch is tried again and again while servers are away.
const PATIENCE: Duration = Duration::from_secs(180);

/// Enqueues jobs of a run.
#[async_trait]
pub trait Producer: Send + Sync {
    /// Brings up what must be there before anything is enqueued, such as the schema.
    ///
    /// # Errors
    /// The run cannot begin.
    async fn prepare(&self, site: &Site) -> io::Result<()> {
        let _ = site;
        Ok(())
    }

    /// Enqueues the jobs with these numbers and returns when all are confirmed: their ids, and what each must come
    /// to.
    ///
    /// # Errors
    /// They cannot be accepted at all.
    async fn produce(&self, site: &Site, numbers: Range<u64>) -> io::Result<Vec<(JobId, Expected)>>;
}

/// Enqueues probes through `backshift enqueue --stdin`: some at once, some that sleep, fail once or snooze.
#[derive(Debug, Clone)]
pub struct Probes {
    binary: PathBuf,
}

impl Probes {
    /// With this binary.
    pub fn new(binary: &Path) -> Self {
        Self { binary: binary.to_owned() }
    }

    /// Enqueues so many probes with one key that sleep this long; returns when all are accepted.
    ///
    /// # Errors
    /// They are not accepted within three minutes.
    pub async fn sleepers(&self, site: &Site, key: &str, count: usize, sleep: Duration) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        let payload = json!({"key": key, "mode": "sleep", "ms": sleep.as_millis() as u64}).to_string();
        let mut missing = count;
        while missing > 0 {
            let lines = (0..missing).map(|_| line(site, None, &payload)).collect();
            let (_, ids, errors) = self.enqueue(site, lines).await?;
            missing -= ids.len().min(missing);
            give_up_after(until, missing, &errors)?;
        }
        Ok(())
    }

    /// The payload of a job, and what it must come to.
    fn payload(number: u64) -> (String, Expected) {
        let (mode, ms, fails, attempt) = match number % 100 {
            11 | 61 => ("fail", 0, 1, 2),
            37 => ("snooze", 100, 1, 1),
            90..=99 => ("sleep", 20, 0, 1),
            _ => ("ok", 0, 0, 1),
        };
        let payload = json!({"key": number.to_string(), "mode": mode, "ms": ms, "fails": fails});
        (payload.to_string(), Expected { effects: 1, attempt })
    }

    async fn call(&self, arguments: &[&str], input: String) -> io::Result<(Option<i32>, String, String)> {
        let mut command = Command::new(&self.binary);
        command.args(arguments).env_clear().env("BACKSHIFT_PROBE", "true").kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let feeding = tokio::spawn(async move {
            if let Some(mut stdin) = stdin {
                // It may end before it has read everything: then it says why.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        });
        let output = child.wait_with_output().await?;
        let _ = feeding.await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
    }

    async fn enqueue(&self, site: &Site, lines: Vec<String>) -> io::Result<(bool, Vec<JobId>, String)> {
        let arguments = ["enqueue", "--stdin", "--broker", &site.broker, "--store", &site.store];
        let (code, printed, errors) = self.call(&arguments, lines.join("\n")).await?;
        if code == Some(2) {
            return Err(io::Error::other(format!("enqueue was used wrongly: {errors}")));
        }
        let ids = printed.lines().filter_map(|line| line.trim().parse().ok()).collect();
        Ok((code == Some(0), ids, errors))
    }

    /// Jobs whose ids we choose: repeated under the same id until each is confirmed.
    async fn chosen(&self, site: &Site, numbers: Range<u64>) -> io::Result<Vec<(JobId, Expected)>> {
        let until = Instant::now() + PATIENCE;
        let mut open: HashMap<JobId, (String, Expected)> =
            numbers.map(|number| (JobId::generate(), Self::payload(number))).collect();
        let mut accepted = Vec::with_capacity(open.len());
        while !open.is_empty() {
            let lines = open.iter().map(|(id, (payload, _))| line(site, Some(*id), payload)).collect();
            let (_, ids, errors) = self.enqueue(site, lines).await?;
            for id in ids {
                accepted.extend(open.remove(&id).map(|(_, expected)| (id, expected)));
            }
            give_up_after(until, open.len(), &errors)?;
        }
        Ok(accepted)
    }

    /// Jobs whose ids the binary makes: what it did not print is enqueued as new.
    async fn anonymous(&self, site: &Site, numbers: Range<u64>) -> io::Result<Vec<(JobId, Expected)>> {
        let until = Instant::now() + PATIENCE;
        let plain = (json!({"key": "plain", "mode": "ok"}).to_string(), Expected::default());
        let wanted = numbers.end - numbers.start;
        let mut accepted = HashSet::new();
        while (accepted.len() as u64) < wanted {
            let missing = wanted - accepted.len() as u64;
            let lines = (0..missing).map(|_| line(site, None, &plain.0)).collect();
            let (_, ids, errors) = self.enqueue(site, lines).await?;
            accepted.extend(ids);
            give_up_after(until, usize::try_from(missing).unwrap_or(usize::MAX), &errors)?;
        }
        Ok(accepted.into_iter().map(|id| (id, plain.1)).collect())
    }
}

#[async_trait]
impl Producer for Probes {
    async fn prepare(&self, site: &Site) -> io::Result<()> {
        let (code, _, errors) = self.call(&["migrate", "up", "--store", &site.store], String::new()).await?;
        match code {
            Some(0) => Ok(()),
            _ => Err(io::Error::other(format!("migrate up: {errors}"))),
        }
    }

    async fn produce(&self, site: &Site, numbers: Range<u64>) -> io::Result<Vec<(JobId, Expected)>> {
        let half = numbers.start + (numbers.end - numbers.start) / 2;
        let mut accepted = self.chosen(site, numbers.start..half).await?;
        accepted.extend(self.anonymous(site, half..numbers.end).await?);
        Ok(accepted)
    }
}

fn line(site: &Site, id: Option<JobId>, payload: &str) -> String {
    let id = id.map(|id| format!(r#""id":"{id}","#)).unwrap_or_default();
    format!(r#"{{"kind":"backshift.probe","queue":"{}",{id}"payload":{payload}}}"#, site.queue)
}

fn give_up_after(until: Instant, open: usize, errors: &str) -> io::Result<()> {
    match open == 0 || Instant::now() < until {
        true => Ok(()),
        false => {
            Err(io::Error::other(format!("{open} jobs were not accepted within {PATIENCE:?}: {errors}")))
        }
    }
}

/// Enqueues through a client of this process: the way of a user's own handlers.
pub struct ClientProducer<F> {
    client: Client,
    envelope: F,
}

impl<F> std::fmt::Debug for ClientProducer<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientProducer").finish_non_exhaustive()
    }
}

impl<F: Fn(u64) -> (Envelope, Expected) + Send + Sync> ClientProducer<F> {
    /// With a client of the stage's servers, and the job of each number.
    pub fn new(client: Client, envelope: F) -> Self {
        Self { client, envelope }
    }
}

#[async_trait]
impl<F: Fn(u64) -> (Envelope, Expected) + Send + Sync> Producer for ClientProducer<F> {
    async fn produce(&self, _: &Site, numbers: Range<u64>) -> io::Result<Vec<(JobId, Expected)>> {
        let until = Instant::now() + PATIENCE;
        let mut open: Vec<(Envelope, Expected)> = numbers.map(&self.envelope).collect();
        let mut accepted = Vec::with_capacity(open.len());
        while !open.is_empty() {
            let batch = open.iter().map(|(envelope, _)| envelope.clone()).collect();
            let answers = self.client.enqueue_many(batch).await;
            let mut again = Vec::new();
            let mut last = String::new();
            for ((envelope, expected), answer) in open.into_iter().zip(answers) {
                match answer {
                    Ok(answer) => accepted.push((answer.id(), expected)),
                    Err(error) if error.is_transient() => {
                        last = error.to_string();
                        again.push((envelope, expected));
                    }
                    Err(error) => return Err(io::Error::other(error)),
                }
            }
            open = again;
            give_up_after(until, open.len(), &last)?;
            if !open.is_empty() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        Ok(accepted)
    }
}
