//! The account of a run: for every accepted mail how often it arrived, under which Message-IDs, and what its job says.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use super::{ledger::Row, plan::Fault, producer::Published};
use crate::scene::Mail;

/// What became of the mails.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) faults: Vec<Fault>,
    pub(super) seconds: f64,
    accepted: usize,
    /// Mails without an id whose confirm was lost, and how many of them arrived.
    unknown: (usize, usize),
    repeated: usize,
    /// Mails that the producer could not publish in the end.
    pub(super) unpublished: usize,
    /// Mails at the mail server.
    arrived: usize,
    /// Accepted, and never arrived.
    lost: Vec<String>,
    /// Arrived twice, with one Message-ID, and the job says so.
    flagged: Vec<String>,
    /// Arrived more often than it may: not flagged, with several Message-IDs, or more than twice.
    doubled: Vec<String>,
    /// Jobs that wait for a person, because nobody knows whether two sendings arrived.
    held: usize,
    /// Jobs that have neither completed nor wait for a person.
    unfinished: Vec<String>,
    /// Jobs whose attempts were counted although nothing of theirs failed.
    burnt: Vec<String>,
    /// Jobs in the ledger.
    jobs: usize,
    /// Jobs that say that nobody knows whether they were sent.
    ambiguous: usize,
    /// Messages in the broker's queues when all was over.
    pub(super) left: u64,
    /// Of the workers that were drained in the end.
    pub(super) exits: Vec<Option<i32>>,
    /// What the workers printed.
    pub(super) outputs: String,
}

impl Account {
    /// Counts.
    pub(super) fn of(published: &Published, mails: &[Mail], rows: &HashMap<String, Row>) -> Self {
        let mut copies: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for mail in mails {
            copies.entry(mail.to[0].as_str()).or_default().push(mail.message_id());
        }
        let came = |to: &String| copies.contains_key(to.as_str());
        let mut account = Self {
            accepted: published.accepted.len(),
            unknown: (published.unknown.len(), published.unknown.iter().filter(|to| came(to)).count()),
            repeated: published.repeated,
            arrived: mails.len(),
            lost: published.accepted.keys().filter(|to| !came(to)).cloned().collect(),
            jobs: rows.len(),
            ambiguous: rows.values().filter(|row| row.effect == "ambiguous").count(),
            ..Self::default()
        };
        let job = |id: &str| id.split('@').next().and_then(|job| rows.get(job));
        for (to, ids) in copies.iter().filter(|(_, ids)| ids.len() > 1) {
            let same = ids.iter().collect::<BTreeSet<_>>().len() == 1;
            let says_so = job(&ids[0]).is_some_and(|row| row.effect == "ambiguous");
            match same && says_so && ids.len() == 2 {
                true => account.flagged.push((*to).to_owned()),
                false => account.doubled.push(format!("{to} {ids:?} {:?}", job(&ids[0]))),
            }
        }
        for (id, row) in rows {
            match (row.status.as_str(), row.effect.as_str()) {
                ("completed", _) => {}
                ("dead", "ambiguous") => account.held += 1,
                _ => account.unfinished.push(format!("{id} {row:?}")),
            }
            if row.failures > 0 {
                account.burnt.push(format!("{id} {row:?}"));
            }
        }
        account
    }

    /// Whether nothing is lost and nothing came twice unflagged.
    pub(super) fn holds(&self) -> bool {
        let bad = [&self.lost, &self.doubled, &self.unfinished, &self.burnt];
        bad.iter().all(|list| list.is_empty())
            && self.unpublished == 0
            && (self.left == 0 || self.held > 0)
            && self.exits.iter().all(|code| *code == Some(0))
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = |fault| self.faults.iter().filter(|one| **one == fault).count();
        let (workers, killed) = (times(Fault::KillWorker), times(Fault::KillBroker));
        let restarted = times(Fault::RestartBroker);
        writeln!(f, "mails: {} accepted, two workers, {:.1} s", self.accepted, self.seconds)?;
        writeln!(f, "  {workers} × worker killed, {killed} × broker killed, {restarted} × broker restarted")?;
        writeln!(f, "  published again under the same id {} times", self.repeated)?;
        writeln!(
            f,
            "  without an id and without a confirm: {} (arrived: {})",
            self.unknown.0, self.unknown.1
        )?;
        writeln!(f, "  mails at the mail server {}, jobs in the ledger {}", self.arrived, self.jobs)?;
        writeln!(
            f,
            "  jobs flagged ambiguous {}, of them arrived twice {}",
            self.ambiguous,
            self.flagged.len()
        )?;
        writeln!(f, "  of them held for a person {}", self.held)?;
        writeln!(f, "  left in the broker's queues {}, never published {}", self.left, self.unpublished)?;
        writeln!(f, "  exit codes of the workers {:?}", self.exits)?;
        for (what, list) in [
            ("lost", &self.lost),
            ("more often than they may", &self.doubled),
            ("jobs that neither completed nor are held", &self.unfinished),
            ("jobs whose attempts were burnt", &self.burnt),
        ] {
            writeln!(f, "  {what}: {} {:?}", list.len(), &list[..list.len().min(5)])?;
        }
        Ok(())
    }
}
