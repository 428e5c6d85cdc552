//! The verdict on a run: every accepted id, its attempts, its effects, its state, and what is left anywhere.
//!
//! An effect of a job that nobody was told is accepted is not a fault: its producer's answer was lost. It is counted.

use std::{collections::BTreeMap, fmt};

use backshift_core::JobId;
use serde::Serialize;

use super::{Expected, Facts};

/// So many ids of each kind of trouble are named; the rest is counted.
const NAMED: usize = 10;

/// A kind of trouble: how often, and the first ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// How many jobs have it.
    pub jobs: u64,
    /// The first of them.
    pub ids: Vec<String>,
}

impl Trouble {
    fn add(&mut self, id: &JobId) {
        self.jobs += 1;
        if self.ids.len() < NAMED {
            self.ids.push(id.to_string());
        }
    }
}

/// What became of everything that was accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Reconciliation {
    /// Jobs whose acceptance was confirmed.
    pub accepted: u64,
    /// Rows of effect of accepted jobs.
    pub effects: u64,
    /// Starts of accepted jobs; more than `accepted` is what the faults cost.
    pub starts: u64,
    /// The most starts of one job.
    pub most_starts: u64,
    /// Jobs that had an effect although no producer was told that they are accepted.
    pub unconfirmed: u64,
    /// Accepted jobs with fewer effects than they must have.
    pub lost: Trouble,
    /// Jobs with more effects than they must have.
    pub duplicated: Trouble,
    /// Jobs whose last attempt has a higher number than their own failures explain.
    pub burnt: Trouble,
    /// Accepted jobs that no start was recorded for.
    pub unrecorded: Trouble,
    /// Accepted jobs that the ledger does not show as completed.
    pub unfinished: Trouble,
    /// Rows of the ledger in each state.
    pub states: BTreeMap<String, u64>,
    /// What is left in queues, retry queues, dead-letter queues and the outbox.
    pub left: BTreeMap<String, u64>,
}

impl Reconciliation {
    /// Compares what was accepted with what there is.
    pub fn of(facts: &Facts) -> Self {
        let mut found = Self { accepted: facts.accepted.len() as u64, ..Self::default() };
        let mut accepted: Vec<_> = facts.accepted.iter().collect();
        accepted.sort_by_key(|(id, _)| **id);
        for (id, expected) in accepted {
            found.job(facts, id, *expected);
        }
        found.strangers(facts);
        for state in facts.states.values() {
            *found.states.entry(state.clone()).or_default() += 1;
        }
        let left = facts.queues.iter().filter(|(_, count)| **count > 0);
        found.left = left.map(|(name, count)| (name.clone(), *count)).collect();
        if facts.outbox > 0 {
            found.left.insert("outbox".to_owned(), facts.outbox);
        }
        found
    }

    /// Whether nothing was lost, doubled, burnt, unrecorded, unfinished or left anywhere, and anything was accepted
    /// at all.
    pub fn holds(&self) -> bool {
        self.accepted > 0
            && self.troubles().iter().all(|(_, trouble)| trouble.jobs == 0)
            && self.left.is_empty()
    }

    /// Every kind of trouble with its name.
    pub fn troubles(&self) -> [(&'static str, &Trouble); 5] {
        [
            ("lost", &self.lost),
            ("duplicate effects", &self.duplicated),
            ("attempts burnt", &self.burnt),
            ("starts unrecorded", &self.unrecorded),
            ("not completed", &self.unfinished),
        ]
    }

    fn job(&mut self, facts: &Facts, id: &JobId, expected: Expected) {
        let effects = facts.effects.get(id).copied().unwrap_or(0);
        self.effects += effects;
        if effects < expected.effects {
            self.lost.add(id);
        }
        if effects > expected.effects {
            self.duplicated.add(id);
        }
        match facts.starts.get(id) {
            None => self.unrecorded.add(id),
            Some(starts) => {
                self.starts += starts.starts;
                self.most_starts = self.most_starts.max(starts.starts);
                if starts.attempt > expected.attempt {
                    self.burnt.add(id);
                }
            }
        }
        if facts.states.get(id).map(String::as_str) != Some("completed") {
            self.unfinished.add(id);
        }
    }

    /// Effects of jobs that nobody was told about: allowed once, a duplicate twice.
    fn strangers(&mut self, facts: &Facts) {
        let most = Expected::default().effects;
        for (id, effects) in facts.effects.iter().filter(|(id, _)| !facts.accepted.contains_key(*id)) {
            self.unconfirmed += 1;
            if *effects > most {
                self.duplicated.add(id);
            }
        }
    }
}

impl fmt::Display for Reconciliation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: String| writeln!(f, "  {name:<24}{value:>12}");
        line("accepted", self.accepted.to_string())?;
        line("effects", self.effects.to_string())?;
        line("starts", format!("{} (most {})", self.starts, self.most_starts))?;
        if self.unconfirmed > 0 {
            line("unconfirmed, yet done", self.unconfirmed.to_string())?;
        }
        for (name, trouble) in self.troubles() {
            let ids =
                if trouble.ids.is_empty() { String::new() } else { format!("  {}", trouble.ids.join(" ")) };
            line(name, format!("{}{ids}", trouble.jobs))?;
        }
        for (state, count) in &self.states {
            line(&format!("ledger: {state}"), count.to_string())?;
        }
        match self.left.is_empty() {
            true => line("left anywhere", "0".to_owned())?,
            false => {
                self.left.iter().try_for_each(|(name, n)| line(&format!("left in {name}"), n.to_string()))?
            }
        }
        writeln!(f, "  {:<24}{:>12}", "verdict", if self.holds() { "holds" } else { "BROKEN" })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Starts, *};

    /// Three jobs, all well.
    fn good() -> (Facts, Vec<JobId>) {
        let ids: Vec<JobId> = (0..3).map(|_| JobId::generate()).collect();
        let facts = Facts {
            accepted: ids.iter().map(|id| (*id, Expected::default())).collect(),
            effects: ids.iter().map(|id| (*id, 1)).collect(),
            starts: ids.iter().map(|id| (*id, Starts { starts: 2, attempt: 1 })).collect(),
            states: ids.iter().map(|id| (*id, "completed".to_owned())).collect(),
            queues: [("jobs".to_owned(), 0)].into(),
            outbox: 0,
        };
        (facts, ids)
    }

    /// The verdict after one change, and the names of the troubles it found.
    fn after(change: impl FnOnce(&mut Facts, &[JobId])) -> (bool, Vec<&'static str>) {
        let (mut facts, ids) = good();
        change(&mut facts, &ids);
        let found = Reconciliation::of(&facts);
        let troubles = found.troubles().iter().filter(|(_, t)| t.jobs > 0).map(|(name, _)| *name).collect();
        (found.holds(), troubles)
    }

    #[test]
    fn all_well_holds_and_says_what_it_cost() {
        let found = Reconciliation::of(&good().0);
        assert!(found.holds(), "{found}");
        assert_eq!((found.accepted, found.effects, found.starts, found.most_starts), (3, 3, 6, 2));
    }

    #[test]
    fn a_lost_effect_is_found() {
        let broken = after(|facts, ids| facts.effects.retain(|id, _| *id != ids[1]));
        assert_eq!(broken, (false, vec!["lost"]));
    }

    #[test]
    fn a_duplicate_effect_is_found_also_where_the_sum_is_right() {
        let broken = after(|facts, ids| {
            facts.effects.insert(ids[0], 2);
            facts.effects.remove(&ids[1]);
        });
        assert_eq!(broken, (false, vec!["lost", "duplicate effects"]));
    }

    #[test]
    fn a_burnt_attempt_is_found_and_an_own_failure_is_none() {
        let burnt = |facts: &mut Facts, ids: &[JobId]| {
            facts.starts.insert(ids[2], Starts { starts: 2, attempt: 2 });
        };
        assert_eq!(after(burnt), (false, vec!["attempts burnt"]));
        let own = after(|facts, ids| {
            burnt(facts, ids);
            facts.accepted.insert(ids[2], Expected { effects: 1, attempt: 2 });
        });
        assert_eq!(own, (true, vec![]));
    }

    #[test]
    fn a_row_that_is_not_completed_or_missing_is_found() {
        for state in [Some("running"), Some("dead"), None] {
            let broken = after(|facts, ids| match state {
                Some(state) => drop(facts.states.insert(ids[0], state.to_owned())),
                None => drop(facts.states.remove(&ids[0])),
            });
            assert_eq!(broken, (false, vec!["not completed"]), "{state:?}");
        }
        assert_eq!(
            after(|facts, ids| facts.starts.retain(|id, _| *id != ids[0])),
            (false, vec!["starts unrecorded"])
        );
    }

    #[test]
    fn what_is_left_anywhere_is_found() {
        assert_eq!(after(|facts, _| facts.queues.extend([("jobs.dlq".to_owned(), 1)])), (false, vec![]));
        assert_eq!(after(|facts, _| facts.outbox = 1), (false, vec![]));
    }

    #[test]
    fn an_unconfirmed_job_may_run_once_and_not_twice() {
        let stranger = JobId::generate();
        assert_eq!(after(|facts, _| facts.effects.extend([(stranger, 1)])), (true, vec![]));
        let twice = after(|facts, _| facts.effects.extend([(stranger, 2)]));
        assert_eq!(twice, (false, vec!["duplicate effects"]));
    }

    #[test]
    fn nothing_accepted_proves_nothing() {
        assert!(!Reconciliation::of(&Facts::default()).holds());
    }
}
