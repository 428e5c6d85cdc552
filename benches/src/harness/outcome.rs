//! What a bench found: samples of each arm, ratio and verdict of each row. Written as one JSON file a bench.
//!
//! A ratio is made *inside* a round, of neighbours in time; medians of arms are never divided by each other.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Bench, Goal, Plan, Row, Sample, Unit};

/// Everything about one run of a bench.
#[derive(Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) bench: String,
    pub(crate) date: String,
    pub(crate) machine: String,
    pub(crate) rounds: usize,
    pub(crate) scale: f64,
    pub(crate) arms: Vec<ArmOutcome>,
    pub(crate) rows: Vec<RowOutcome>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ArmOutcome {
    pub(crate) name: String,
    pub(crate) settings: String,
    /// One a round; `None` where the arm could not run.
    pub(crate) samples: Vec<Option<Sample>>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct RowOutcome {
    pub(crate) id: String,
    /// One a round that has both arms.
    pub(crate) ratios: Vec<f64>,
    pub(crate) median: Option<f64>,
    /// Median reaches the goal, and the second-worst round nine tenths of it. `None`: no result or not judged.
    pub(crate) reached: Option<bool>,
}

impl Outcome {
    pub(super) fn new(bench: &str, plan: &Plan, arms: Vec<ArmOutcome>, rows: Vec<RowOutcome>) -> Self {
        let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        Self {
            bench: bench.to_owned(),
            date,
            machine: machine(),
            rounds: plan.rounds,
            scale: plan.scale,
            arms,
            rows,
        }
    }
}

impl ArmOutcome {
    /// Median of one figure of the samples.
    pub(crate) fn median(&self, figure: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(self.samples.iter().flatten().filter_map(figure).collect())
    }

    /// Largest by smallest value: how quiet the machine was.
    pub(crate) fn spread(&self) -> Option<f64> {
        let values: Vec<f64> = self.samples.iter().flatten().map(|sample| sample.value).collect();
        let largest = values.iter().copied().reduce(f64::max)?;
        Some(largest / values.iter().copied().reduce(f64::min)?)
    }
}

impl RowOutcome {
    pub(super) fn judge(row: &Row, arms: &[ArmOutcome]) -> Self {
        let samples = |name: &str| arms.iter().find(|arm| arm.name == name).map(|arm| arm.samples.as_slice());
        let ours = samples(row.ours).unwrap_or_default();
        let value = |sample: &Option<Sample>| sample.as_ref().map(|sample| sample.value);
        let ratios: Vec<f64> = match row.theirs {
            None => ours.iter().filter_map(value).collect(),
            Some(theirs) => {
                let theirs = samples(theirs).unwrap_or_default();
                ours.iter().zip(theirs).filter_map(|(a, b)| Some(value(a)? / value(b)?)).collect()
            }
        };
        let median = median(ratios.clone());
        let reached = median.and_then(|median| reached(row.goal, median, &ratios));
        Self { id: row.id.to_owned(), ratios, median, reached }
    }
}

fn reached(goal: Goal, median: f64, ratios: &[f64]) -> Option<bool> {
    let mut sorted = ratios.to_vec();
    sorted.sort_by(f64::total_cmp);
    let second = |sorted: &[f64]| sorted.get(1).or(sorted.first()).copied();
    match goal {
        Goal::Reported => None,
        Goal::AtLeast(goal) => Some(median >= goal && second(&sorted)? >= 0.9 * goal),
        Goal::AtMost(goal) => {
            sorted.reverse();
            Some(median <= goal && second(&sorted)? <= goal / 0.9)
        }
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// Cores, memory and system, without names.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = memory.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0);
    format!("{cores} cores, {} GiB, {}", kib.div_ceil(1024 * 1024), std::env::consts::OS)
}

/// Prints arms and rows for a person.
pub(crate) fn print(bench: &Bench, outcome: &Outcome) {
    println!("\n{} ({} rounds, {})", outcome.bench, outcome.rounds, outcome.machine);
    for arm in &outcome.arms {
        let value = arm.median(|sample| Some(sample.value));
        let unit = match arm.samples.iter().flatten().next().map(|sample| sample.unit) {
            Some(Unit::Milliseconds) => "ms",
            Some(Unit::Mebibytes) => "MiB",
            _ => "/s",
        };
        println!(
            "  {:<28} {:>12} {unit:<3} spread {} · CPU s/1000: client {} server {}",
            arm.name,
            value.map_or("no result".to_owned(), |value| format!("{value:.2}")),
            arm.spread().map_or("–".to_owned(), |spread| format!("{spread:.2}")),
            arm.median(|sample| Some(sample.client_cpu)).map_or("–".to_owned(), |cpu| format!("{cpu:.4}")),
            arm.median(|sample| sample.server_cpu).map_or("–".to_owned(), |cpu| format!("{cpu:.4}")),
        );
    }
    for (row, judged) in bench.rows.iter().zip(&outcome.rows) {
        let verdict = match judged.reached {
            Some(true) => "reached",
            Some(false) => "NOT REACHED",
            None => "reported",
        };
        let goal = match row.goal {
            Goal::AtLeast(goal) => format!("at least {goal}"),
            Goal::AtMost(goal) => format!("at most {goal}"),
            Goal::Reported => "–".to_owned(),
        };
        let median = judged.median.map_or("no result".to_owned(), |median| format!("{median:.2}"));
        let all: Vec<String> = judged.ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        println!("  {:<4} {}: {median} (goal {goal}) {verdict} [{}]", row.id, row.what, all.join(" "));
    }
}

/// Writes `FOLDER/<bench>.json`.
pub(crate) fn write(folder: &Path, outcome: &Outcome) -> Result<()> {
    fs::create_dir_all(folder)?;
    let file = folder.join(format!("{}.json", outcome.bench));
    let text = serde_json::to_string_pretty(outcome)?;
    fs::write(&file, text + "\n").with_context(|| format!("{} could not be written", file.display()))
}
