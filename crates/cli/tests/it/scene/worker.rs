//! A `backshift worker` process and its port.

use std::time::Duration;

use backshift_testkit::{ports::free_port, process::Running, wait};
use serde_json::Value;

use super::{Answer, PATIENCE, Settings, request};

/// A worker; it is killed with its value.
pub(crate) struct Worker {
    pub(crate) process: Running,
    pub(crate) port: u16,
}

impl Worker {
    /// Starts it and waits until it is ready.
    pub(crate) async fn ready(arguments: &[&str], settings: &Settings) -> Self {
        Self::start(arguments, settings).when_ready().await
    }

    /// Waits until it is ready.
    pub(crate) async fn when_ready(self) -> Self {
        self.answers(200, &[]).await;
        self
    }

    /// Waits until `/readyz` answers with this status and these words.
    pub(crate) async fn answers(&self, status: u16, words: &[&str]) {
        let reached = wait::until(PATIENCE, || async {
            let Some(answer) = self.get("/readyz").await else { return false };
            answer.status == status && words.iter().all(|word| answer.body.contains(word))
        });
        let reached = reached.await;
        assert!(reached, "no {status} {words:?}: {:?}\n{}", self.get("/readyz").await, self.output());
    }

    /// Starts it.
    pub(crate) fn start(arguments: &[&str], settings: &Settings) -> Self {
        let port = free_port().unwrap();
        let settings = settings.with(&[("BACKSHIFT_WORKER_HTTP_ADDR", &format!("127.0.0.1:{port}"))]);
        Self { process: Running::start(arguments, &settings.pairs()), port }
    }

    /// One page of its port; `None` = nobody answers.
    pub(crate) async fn get(&self, path: &str) -> Option<Answer> {
        request(self.port, "GET", path, &[], b"").await.ok()
    }

    /// Everything that it printed.
    pub(crate) fn output(&self) -> String {
        self.process.output()
    }

    /// Its log lines.
    pub(crate) fn log(&self) -> Vec<Value> {
        let text = self.output();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
            .collect()
    }

    /// Whether a log line has this message and level.
    pub(crate) fn logged(&self, level: &str, message: &str) -> bool {
        self.log()
            .iter()
            .any(|line| line["level"] == level && line["msg"].as_str().is_some_and(|m| m.contains(message)))
    }

    /// Waits for such a line: what is counted, sent or stored may be so before it is logged and read.
    pub(crate) async fn wait_logged(&self, level: &str, message: &str) {
        let logged = wait::until(PATIENCE, || async { self.logged(level, message) }).await;
        assert!(logged, "{message:?} is no {level} in the log\n{}", self.output());
    }

    /// The sum over all labels of a metric; `None` = it is not there.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let page = self.get("/metrics").await?.body;
        let values = page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            (key.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok())?
        });
        values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }

    /// Waits until a metric has at least this value.
    pub(crate) async fn wait_metric(&self, name: &str, least: f64) {
        let reached =
            wait::until(PATIENCE, || async { self.metric(name).await.is_some_and(|v| v >= least) }).await;
        assert!(reached, "{name} is {:?}, not {least}\n{}", self.metric(name).await, self.output());
    }

    /// SIGTERM, then its exit code.
    pub(crate) async fn drained(mut self) -> Option<i32> {
        self.process.terminate();
        self.process.ended(Duration::from_secs(20)).await.and_then(|status| status.code())
    }
}
