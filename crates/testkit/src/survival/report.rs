//! What a run did and what it came to, as a small table and as JSON.

use std::{fmt, io, path::Path};

use serde::Serialize;

use super::Reconciliation;

/// A fault that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Happened {
    /// Seconds since the start of the run.
    pub at: f64,
    /// The fault in words.
    pub what: String,
    /// The worker or server it hit.
    pub whom: String,
    /// Effects at that moment.
    pub effects: u64,
}

/// The report of one run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The broker.
    pub ground: String,
    /// Jobs that were to be enqueued.
    pub jobs: u64,
    /// Workers at a time.
    pub workers: usize,
    /// The plan's seed.
    pub seed: u64,
    /// How long everything took.
    pub seconds: f64,
    /// What went wrong on purpose, in order.
    pub faults: Vec<Happened>,
    /// Steps of the plan that could not happen, and why.
    pub missed: Vec<String>,
    /// Workers that ended although nobody told them to.
    pub ended: Vec<String>,
    /// Exit codes of the workers that were drained in the end; `None` = it had to be killed.
    pub exits: Vec<Option<i32>>,
    /// Why the run was given up, if it was.
    pub given_up: Option<String>,
    /// The verdict.
    pub reconciliation: Reconciliation,
    /// The end of what each worker printed.
    #[serde(skip)]
    pub outputs: Vec<(String, String)>,
}

impl Report {
    /// Whether every promise held, every fault happened and every worker drained.
    pub fn holds(&self) -> bool {
        self.reconciliation.holds()
            && self.given_up.is_none()
            && self.missed.is_empty()
            && self.exits.iter().all(|code| *code == Some(0))
    }

    /// Writes it as JSON, and beside it what the workers printed when something is broken.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        std::fs::write(path, serde_json::to_vec_pretty(self)?)?;
        if self.holds() {
            return Ok(());
        }
        let outputs: String =
            self.outputs.iter().map(|(name, text)| format!("===== {name}\n{text}\n")).collect();
        std::fs::write(path.with_extension("log"), outputs)
    }

    /// The same faults counted: words and how often, in the order of their first time.
    pub fn counted_faults(&self) -> Vec<(String, usize)> {
        let mut counted: Vec<(String, usize)> = Vec::new();
        for fault in &self.faults {
            match counted.iter_mut().find(|(what, _)| *what == fault.what) {
                Some((_, times)) => *times += 1,
                None => counted.push((fault.what.clone(), 1)),
            }
        }
        counted
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ground, jobs, workers, seed, seconds, .. } = self;
        writeln!(f, "{ground}: {jobs} jobs, {workers} workers, seed {seed}, {seconds:.1} s")?;
        for (what, times) in self.counted_faults() {
            writeln!(f, "  {times:>4} × {what}")?;
        }
        let others = self.missed.iter().map(|text| format!("did not happen: {text}"));
        let others = others.chain(self.ended.iter().map(|text| format!("ended by itself: {text}")));
        others.chain(self.given_up.clone()).try_for_each(|text| writeln!(f, "  {text}"))?;
        if self.exits.iter().any(|code| *code != Some(0)) {
            writeln!(f, "  exit codes at the end: {:?}", self.exits)?;
        }
        self.reconciliation.fmt(f)
    }
}
