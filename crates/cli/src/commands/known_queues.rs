//! Which queues somebody knows, so that a mistyped name is told from a new one.
//!
//! A queue begins with its first job, so a name that nobody knows is no error by itself. It is one when a slip of the keys
//! leads to a known one: the job would wait where nobody looks. Names that are numbered or lettered on purpose (`load-1`,
//! `load-2`; `reports`, `report`) are no slips of each other.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use backshift_core::{Broker, BrokerError, Capability, QueueName, store::Ledger as _, store::Queues};
use backshift_http::pages::told;
use backshift_store::{SqlStore, ledger};

use crate::{
    exit::Failure,
    wiring::{Backend, known_queues},
};

/// More names of one command are taken as they are: a file of a million queues is nobody's typing.
const JUDGED_AT_MOST: usize = 500;
/// Shorter names are a letter away from too many others.
const LONG_ENOUGH: usize = 5;
/// A foreign broker that says nothing for so long is one that is away.
const PATIENCE: Duration = Duration::from_secs(5);
/// Nobody is asked again for so long after a server was away: the jobs themselves wait for it, and each line that waited
/// as well would add to that.
const UNASKED: Duration = Duration::from_secs(10);

/// What is known about the queues of a place.
pub(super) struct KnownQueues<'a> {
    store: Option<&'a Arc<SqlStore>>,
    broker: &'a dyn Broker,
    /// Those of live workers and of jobs, once they were counted.
    names: Option<BTreeSet<String>>,
    /// Counting ended: a queue may be missing among the names.
    may_miss_one: bool,
    /// Every name that was judged, with the text if it was refused.
    verdicts: HashMap<QueueName, Option<String>>,
    unasked_until: Option<Instant>,
}

impl<'a> KnownQueues<'a> {
    pub(super) fn of(backend: &'a Backend) -> Self {
        Self::new(backend.store.as_ref(), &*backend.broker)
    }

    fn new(store: Option<&'a Arc<SqlStore>>, broker: &'a dyn Broker) -> Self {
        Self {
            store,
            broker,
            names: None,
            may_miss_one: false,
            verdicts: HashMap::new(),
            unasked_until: None,
        }
    }

    /// Whether somebody knows this queue: it is one of our own, or a worker, a job or the broker has it. Without a store
    /// nobody can say, and a broker that is away makes no name wrong.
    pub(super) async fn has(&mut self, queue: &QueueName) -> Result<bool, Failure> {
        Ok(self.look(queue).await?.unwrap_or(true))
    }

    /// `None` = nobody can say now. By its name first: only what that does not find is worth the counts.
    async fn look(&mut self, queue: &QueueName) -> Result<Option<bool>, Failure> {
        let Some(store) = self.store else { return Ok(None) };
        if known_queues().any(|own| own == queue.as_str()) || ledger::has_met(store.database(), queue).await?
        {
            return Ok(Some(true));
        }
        if !self.broker.capabilities().has(Capability::Ledger) {
            match tokio::time::timeout(PATIENCE, self.broker.depth(queue)).await {
                Ok(Ok(_)) => return Ok(Some(true)),
                Ok(Err(BrokerError::Rejected { .. })) => {}
                _ => return Ok(None),
            }
        }
        if self.names(store).await?.contains(queue.as_str()) {
            return Ok(Some(true));
        }
        Ok(Some(self.may_miss_one && told::holds_jobs(&**store, queue).await?))
    }

    /// The known name that is nearest to this one.
    pub(super) fn nearest(&self, queue: &QueueName) -> Option<String> {
        backshift_core::nearest(queue.as_str(), self.all().map(str::to_owned))
    }

    /// The same, looked for before.
    pub(super) async fn nearest_to(&mut self, queue: &QueueName) -> Option<String> {
        self.names(self.store?).await.ok()?;
        self.nearest(queue).filter(|near| near != queue.as_str())
    }

    /// For a job that goes there: a slip of the keys is refused, and of another new name it is said that it is new. Each
    /// name is judged once. While a server is away every name is taken as it is.
    pub(super) async fn judge(&mut self, queue: &QueueName) -> Result<Option<String>, Failure> {
        if let Some(verdict) = self.verdicts.get(queue) {
            return verdict.clone().map_or(Ok(None), |refused| Err(Failure::usage(refused)));
        }
        let unasked = self.unasked_until.is_some_and(|until| Instant::now() < until);
        if unasked || self.store.is_none() || self.verdicts.len() >= JUDGED_AT_MOST {
            return Ok(None);
        }
        let known = match self.look(queue).await {
            Ok(Some(known)) => known,
            looked => {
                self.unasked_until = Some(Instant::now() + UNASKED);
                let why =
                    looked.err().map_or("the broker does not answer".to_owned(), |error| error.to_string());
                return Ok(Some(format!(
                    "nobody can say whether queue {queue} is known, it is taken as it is: {why}"
                )));
            }
        };
        let slip = self.all().find(|name| !known && is_slip(queue.as_str(), name));
        let refused = slip.map(|meant| {
            format!(
                "queue {queue} is unknown, no job is in it and no worker takes jobs from it: did you mean {meant}? --new makes it \
                 all the same"
            )
        });
        self.verdicts.insert(queue.clone(), refused.clone());
        if known {
            return Ok(None);
        }
        if let Some(refused) = refused {
            return Err(Failure::usage(refused));
        }
        let meant = self.nearest(queue).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        Ok(Some(format!("queue {queue} is new: no job is in it and no worker takes jobs from it{meant}")))
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        known_queues().map(|own| own as &str).chain(self.names.iter().flatten().map(String::as_str))
    }

    async fn names(&mut self, store: &SqlStore) -> Result<&BTreeSet<String>, Failure> {
        if self.names.is_none() {
            let workers = store.workers().await?;
            let worked = workers.iter().flat_map(|worker| worker.queue_names().map(str::to_owned));
            let counted = store.counts().await?;
            self.may_miss_one = told::may_miss_a_queue(&counted);
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use backshift_core::{Envelope, Kind, Timestamp};
    use backshift_store::{Database, Options, migrate};
    use backshift_testkit::{
        memory::{Fault, MemoryBroker, MemoryStore},
        ports::free_port,
    };

    use super::*;

    async fn store(url: &str) -> Arc<SqlStore> {
        Arc::new(SqlStore::new(Database::open(url, &Options::default()).unwrap()))
    }

    /// In a file, with these queues declared.
    async fn with_queues(names: &[&str]) -> (tempfile::TempDir, Arc<SqlStore>) {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&format!("sqlite:{}", directory.path().join("jobs.db").display())).await;
        migrate::up(store.database(), &[&migrate::ENGINE]).await.unwrap();
        for name in names {
            ledger::declare(store.database(), &queue(name)).await.unwrap();
        }
        (directory, store)
    }

    fn queue(name: &str) -> QueueName {
        QueueName::new(name).unwrap()
    }

    /// A foreign broker that has every queue, and how often it was asked.
    fn asked() -> (MemoryBroker, Arc<AtomicUsize>) {
        let (broker, asked) = (MemoryBroker::new(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        broker.faults().plan(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Fault::None
        });
        (broker, asked)
    }

    #[tokio::test]
    async fn every_name_is_judged_once_whatever_the_verdict() {
        let (_directory, store) = with_queues(&["reports", "stocks"]).await;
        let broker = MemoryStore::new().broker();
        let mut queues = KnownQueues::new(Some(&store), &broker);
        assert_eq!(queues.judge(&queue("stocks")).await.unwrap(), None);
        let refused = queues.judge(&queue("reprots")).await.unwrap_err();
        assert!(refused.is_misuse() && refused.to_string().contains("did you mean reports?"), "{refused}");
        assert!(queues.judge(&queue("birds")).await.unwrap().unwrap().contains("is new"));
        // What changes afterwards is not looked at.
        ledger::declare(store.database(), &queue("reprots")).await.unwrap();
        store.database().sql("DELETE FROM job_queues WHERE name = 'stocks'").run().await.unwrap();
        assert_eq!(queues.judge(&queue("stocks")).await.unwrap(), None);
        assert_eq!(queues.judge(&queue("reprots")).await.unwrap_err().to_string(), refused.to_string());
        assert_eq!(queues.judge(&queue("birds")).await.unwrap(), None);

        let (broker, asked) = asked();
        let mut queues = KnownQueues::new(Some(&store), &broker);
        for _ in 0..3 {
            assert_eq!(queues.judge(&queue("theirs")).await.unwrap(), None);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1, "the broker has it, and said so once");
        assert!(queues.names.is_none(), "nothing was counted for a name that somebody knows");
    }

    #[tokio::test]
    async fn a_name_that_a_waiting_job_has_costs_no_counts() {
        let (_directory, store) = with_queues(&["reports"]).await;
        let job = Envelope::new(Kind::new("k").unwrap(), queue("reprots"), &b"{}"[..], Timestamp::now());
        ledger::enqueue(store.database(), "embedded", vec![job]).await.remove(0).unwrap();
        let broker = MemoryStore::new().broker();
        let mut queues = KnownQueues::new(Some(&store), &broker);
        assert_eq!(queues.judge(&queue("reprots")).await.unwrap(), None);
        assert!(queues.names.is_none());
    }

    #[tokio::test]
    async fn a_server_that_is_away_makes_no_name_wrong() {
        let (_directory, here) = with_queues(&["reports"]).await;
        let (broker, asked) = asked();
        let counted = Arc::clone(&asked);
        broker.faults().plan(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Fault::Before
        });
        let mut queues = KnownQueues::new(Some(&here), &broker);
        let said = queues.judge(&queue("reprots")).await.unwrap().unwrap();
        assert!(said.contains("taken as it is"), "{said}");
        assert_eq!(queues.judge(&queue("reprots")).await.unwrap(), None, "said once");
        assert_eq!(asked.load(Ordering::Relaxed), 1, "and not asked again at once");
        assert!(queues.has(&queue("reprots")).await.unwrap());

        let nobody = free_port().unwrap();
        let away = store(&format!("postgres://nobody@127.0.0.1:{nobody}/x")).await;
        let mut queues = KnownQueues::new(Some(&away), &broker);
        let said = queues.judge(&queue("reprots")).await.unwrap().unwrap();
        assert!(said.contains("taken as it is") && said.contains("cannot be reached"), "{said}");
        assert!(queues.has(&queue("reprots")).await.unwrap_err().is_unreachable(), "a pause needs the store");
    }

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
