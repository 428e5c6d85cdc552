//! Two workers; who is killed is replaced at once, by one of another name.

use std::{collections::VecDeque, time::Duration};

use crate::scene::{PATIENCE, Settings, Worker};

/// Running workers, the oldest first.
pub(super) struct Fleet {
    settings: Settings,
    workers: VecDeque<Worker>,
    /// The ends of what those that were killed had printed.
    remains: String,
}

impl Fleet {
    /// Two that are ready.
    pub(super) async fn start(settings: &Settings) -> Self {
        let worker = || Worker::ready(&["worker"], settings);
        let workers = VecDeque::from([worker().await, worker().await]);
        Self { settings: settings.clone(), workers, remains: String::new() }
    }

    /// SIGKILL to the older one; its successor need not be ready yet.
    pub(super) async fn kill_one(&mut self) {
        if let Some(doomed) = self.workers.pop_front() {
            self.bury(&doomed);
            doomed.process.kill().await;
        }
        self.workers.push_back(Worker::start(&["worker"], &self.settings));
    }

    /// SIGTERM to both; their exit codes.
    pub(super) async fn drained(&mut self) -> Vec<Option<i32>> {
        let mut codes = Vec::new();
        while let Some(mut worker) = self.workers.pop_front() {
            worker.process.terminate();
            let ended = worker.process.ended(Duration::max(PATIENCE, Duration::from_secs(20))).await;
            self.bury(&worker);
            codes.push(ended.and_then(|status| status.code()));
        }
        codes
    }

    /// What they printed, warnings and worse.
    pub(super) fn outputs(&self) -> String {
        let alive = self.workers.iter().map(notable);
        alive.fold(self.remains.clone(), |all, one| all + &one)
    }

    fn bury(&mut self, worker: &Worker) {
        self.remains += &notable(worker);
    }
}

fn notable(worker: &Worker) -> String {
    let output = worker.output();
    let lines = output.lines().filter(|line| !line.contains(r#""level":"info""#)).take(40);
    format!("===== worker {}\n{}\n", worker.process.pid(), lines.collect::<Vec<_>>().join("\n"))
}
