//! Which queues somebody knows, so that a mistyped name is told from a new one.
//!
//! A queue begins with its first job, so a name that nobody knows is no error by itself. It is one when a slip of the keys
//! leads to a known one: the job would wait where nobody looks. Names that are numbered or lettered on purpose (`load-1`,
//! `load-2`; `reports`, `report`) are no slips of each other.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use backshift_core::{Broker, Capability, QueueName, store::Ledger as _, store::Queues};
use backshift_store::{SqlStore, ledger};

use crate::{
    config::nearest,
    exit::Failure,
    wiring::{Backend, own_queues},
};

/// More names of one command are taken as they are: a file of a million queues is nobody's typing.
const JUDGED_AT_MOST: usize = 100;
/// Shorter names are a letter away from too many others.
const LONG_ENOUGH: usize = 5;
/// A foreign broker that is away is heard of when a job goes there.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known about the queues of a place; asked for once a command.
pub(super) struct KnownQueues<'a> {
    store: Option<&'a Arc<SqlStore>>,
    broker: &'a dyn Broker,
    /// Those of live workers and of jobs, once they were asked for.
    names: Option<BTreeSet<String>>,
    judged: HashSet<QueueName>,
}

impl<'a> KnownQueues<'a> {
    pub(super) fn of(backend: &'a Backend) -> Self {
        let store = backend.store.as_ref();
        Self { store, broker: &*backend.broker, names: None, judged: HashSet::new() }
    }

    /// Whether somebody knows this queue: it is one of our own, or a worker, a job or the broker has it. Without a store
    /// nobody can say.
    pub(super) async fn has(&mut self, queue: &QueueName) -> Result<bool, Failure> {
        let Some(store) = self.store else { return Ok(true) };
        if own_queues().any(|own| own == queue.as_str())
            || ledger::is_declared(store.database(), queue).await?
            || self.names(store).await?.contains(queue.as_str())
        {
            return Ok(true);
        }
        if self.broker.capabilities().has(Capability::Ledger) {
            return Ok(false);
        }
        Ok(tokio::time::timeout(PATIENCE, self.broker.depth(queue)).await.is_ok_and(|depth| depth.is_ok()))
    }

    /// The known name that is nearest to this one.
    pub(super) fn nearest(&self, queue: &QueueName) -> Option<String> {
        nearest(queue.as_str(), self.all().map(str::to_owned))
    }

    /// For a job that goes there: a slip of the keys is refused, and of another new name it is said that it is new. Each
    /// name is judged once.
    pub(super) async fn judge(&mut self, queue: &QueueName) -> Result<Option<String>, Failure> {
        if self.judged.len() >= JUDGED_AT_MOST || self.judged.contains(queue) || self.has(queue).await? {
            return Ok(None);
        }
        if let Some(meant) = self.all().find(|known| is_slip(queue.as_str(), known)) {
            return Err(Failure::usage(format!(
                "queue {queue} is unknown, no job is in it and no worker takes jobs from it: did you mean {meant}? --new makes it \
                 all the same"
            )));
        }
        self.judged.insert(queue.clone());
        let meant = self.nearest(queue).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        Ok(Some(format!("queue {queue} is new: no job is in it and no worker takes jobs from it{meant}")))
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        own_queues().map(|own| own as &str).chain(self.names.iter().flatten().map(String::as_str))
    }

    async fn names(&mut self, store: &SqlStore) -> Result<&BTreeSet<String>, Failure> {
        if self.names.is_none() {
            let workers = store.workers().await?;
            let worked = workers.iter().flat_map(|worker| worker.queue_names().map(str::to_owned));
            let counted = store.counts().await?;
            let names = worked.chain(counted.iter().map(|counted| counted.queue.to_string())).collect();
            self.names = Some(names);
        }
        Ok(self.names.get_or_insert_default())
    }
}

/// Whether a slip of the keys inside a word makes one of the other: two letters swapped, one too many, too few or wrong.
fn is_slip(typed: &str, known: &str) -> bool {
    if typed.eq_ignore_ascii_case(known) {
        return true;
    }
    let (typed_all, known_all): (Vec<char>, Vec<char>) = (typed.chars().collect(), known.chars().collect());
    let shorter = typed_all.len().min(known_all.len());
    if shorter < LONG_ENOUGH || strsim::damerau_levenshtein(typed, known) != 1 {
        return false;
    }
    let same = |pairs: &mut dyn Iterator<Item = (&char, &char)>| pairs.take_while(|(a, b)| a == b).count();
    let before = same(&mut typed_all.iter().zip(&known_all));
    let after = same(&mut typed_all.iter().rev().zip(known_all.iter().rev())).min(shorter - before);
    let is_letter = |at: Option<&char>| at.is_some_and(|c| c.is_alphabetic());
    let differs = |all: &[char]| all[before..all.len() - after].iter().any(|c| c.is_ascii_digit());
    // The first and the last letter of a word are what names of one family differ in.
    before > 0
        && is_letter(typed_all.get(before - 1))
        && is_letter(typed_all.get(typed_all.len() - after))
        && !differs(&typed_all)
        && !differs(&known_all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keys_is_told_from_a_name_of_its_own() {
        for typed in ["defualt", "defalt", "defaault", "defsult", "DEFAULT", "deafult"] {
            assert!(is_slip(typed, "default"), "{typed}");
        }
        assert!(is_slip("smtp_sendemail", "smtp_send_email") && is_slip("reprots", "reports"));
        for (typed, known) in [
            ("load-1", "load-2"),
            ("load-1", "load"),
            ("queue-a", "queue-b"),
            ("queue-a-1", "queue-b-1"),
            ("q12a4c", "q13a4c"),
            ("report", "reports"),
            ("emails", "email"),
            ("email", "mail"),
            ("mails", "mail"),
            ("q1", "q2"),
            ("work", "wrok"),
            ("payments", "default"),
        ] {
            assert!(!is_slip(typed, known) && !is_slip(known, typed), "{typed} {known}");
        }
    }
}
