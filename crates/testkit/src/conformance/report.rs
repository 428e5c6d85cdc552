//! What the suites found: a table for people and `conformance.json` for machines.
//!
//! A report is good when nothing failed; what could not be tested is listed with its reason.

use std::{fmt, path::Path, time::Duration};

use serde::Serialize;

/// What one case found.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// `broker`, `store` or `engine`.
    pub suite: &'static str,
    /// The adapter.
    pub subject: String,
    /// `B3`.
    pub rule: String,
    /// `B3_unsettled_delivery_comes_back`.
    pub name: String,
    /// `pass`, `fail`, `unsupported-as-declared` or `not-tested`.
    pub result: &'static str,
    /// What broke the rule, or why it was not tested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How long the case took.
    pub milliseconds: u128,
}

/// What one or more suites found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// One line a case, in the order of the rules.
    pub lines: Vec<Line>,
}

impl Report {
    /// Whether nothing failed and something was tried.
    pub fn is_good(&self) -> bool {
        self.failures().next().is_none() && self.lines.iter().any(|line| line.result == "pass")
    }

    /// The lines that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.result == "fail")
    }

    /// The result of one rule, such as `B3`.
    pub fn result(&self, rule: &str) -> Option<&'static str> {
        self.lines.iter().find(|line| line.rule == rule).map(|line| line.result)
    }

    /// Adds what another suite found.
    pub fn extend(&mut self, other: Self) {
        self.lines.extend(other.lines);
    }

    /// Writes `conformance.json`.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        std::fs::write(path, text)
    }

    fn subjects(&self) -> Vec<(&'static str, &str)> {
        let mut subjects: Vec<(&'static str, &str)> = Vec::new();
        for line in &self.lines {
            let subject = (line.suite, line.subject.as_str());
            if !subjects.contains(&subject) {
                subjects.push(subject);
            }
        }
        subjects
    }

    fn count(&self, (suite, subject): (&str, &str), result: &str) -> usize {
        let counts = |l: &&Line| l.suite == suite && l.subject == subject && l.result == result;
        self.lines.iter().filter(counts).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines.iter().filter(|line| line.detail.is_some()) {
            let detail = line.detail.as_deref().unwrap_or_default();
            writeln!(f, "{:<12} {:<24} {}\n    {detail}", line.result, line.subject, line.name)?;
        }
        writeln!(
            f,
            "\n{:<7} {:<24} {:>5} {:>5} {:>12} {:>11}",
            "suite", "subject", "pass", "fail", "unsupported", "not tested"
        )?;
        for subject in self.subjects() {
            let count = |result| self.count(subject, result);
            writeln!(
                f,
                "{:<7} {:<24} {:>5} {:>5} {:>12} {:>11}",
                subject.0,
                subject.1,
                count("pass"),
                count("fail"),
                count("unsupported-as-declared"),
                count("not-tested"),
            )?;
        }
        Ok(())
    }
}

impl Line {
    pub(super) fn took(mut self, time: Duration) -> Self {
        self.milliseconds = time.as_millis();
        self
    }
}
