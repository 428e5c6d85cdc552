//! What all pages share, read once and used by all that are open: counts, workers, breakers, the newest jobs.
//!
//! A sight is good for a second, or for ten times the time that it took to read: however many pages are open, the
//! store never spends more than a tenth of its time on them. Where reading takes long, a page shows what was read last
//! and has it read anew behind its back. Who changes something calls [`Watch::forget`].

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use backshift_core::{
    EffectState, JobFilter, JobRecord, Kind, Page, QueueCounts, QueueName, State, StoreError, Timestamp,
    store::{BreakerRecord, ParkedKind, WorkerRecord},
};
use tokio::sync::{Mutex, watch};

use super::{Pages, own_kinds::OwnKinds, worked::Worked};

/// How long a sight is good at least.
const PERIOD: Duration = Duration::from_secs(1);
/// A reading that takes longer is not waited for.
const LONG: Duration = Duration::from_millis(100);
/// How old what is shown may be beyond the time that it is good for.
const STALE: Duration = Duration::from_secs(60);
/// Rows that are read of each list; figures beyond it are shown as *100 or more*.
pub(super) const SAMPLE: u32 = 100;
/// Queues that nobody works whose kinds are looked for; more lines help nobody.
const UNATTENDED: usize = 20;
/// Rows whose every change is noticed.
const WATCHED: u32 = 50;

/// How things stand at one time.
pub(super) struct Sight {
    pub(super) queues: Vec<QueueCounts>,
    pub(super) workers: Vec<WorkerRecord>,
    pub(super) breakers: Vec<BreakerRecord>,
    /// Kinds that wait for a worker that knows them.
    pub(super) parked: Vec<ParkedKind>,
    /// What each section of the pages counts, in their order.
    pub(super) sections: Vec<Option<u64>>,
    /// What waits next in the first queues that nobody works.
    pub(super) next_kinds: BTreeMap<QueueName, Vec<Kind>>,
    /// What a worker of ours could do.
    pub(super) own: OwnKinds,
    /// The errors of the newest dead jobs, by queue.
    pub(super) causes: BTreeMap<QueueName, Vec<String>>,
    /// Jobs whose effect is ambiguous, at most [`SAMPLE`].
    pub(super) unclear: u64,
    /// Those of them that are dead and wait for a person.
    pub(super) unclear_dead: u64,
    /// Equal as long as nothing that a page shows has changed.
    pub(super) fingerprint: String,
    read: Instant,
    good_for: Duration,
}

impl Sight {
    /// How many jobs of all queues stand there.
    pub(super) fn total(&self, state: State) -> u64 {
        self.queues.iter().map(|queue| queue.count(state)).sum()
    }

    /// Nothing at all.
    pub(super) fn empty() -> Self {
        Self {
            queues: Vec::new(),
            workers: Vec::new(),
            breakers: Vec::new(),
            parked: Vec::new(),
            sections: Vec::new(),
            next_kinds: BTreeMap::new(),
            own: OwnKinds::default(),
            causes: BTreeMap::new(),
            unclear: 0,
            unclear_dead: 0,
            fingerprint: String::new(),
            read: Instant::now(),
            good_for: PERIOD,
        }
    }
}

/// The newest sight, and whoever waits for the next one.
#[derive(Default)]
pub(super) struct Watch {
    latest: watch::Sender<Option<Arc<Sight>>>,
    polled: AtomicBool,
    /// Somebody reads anew behind a page's back.
    looked: AtomicBool,
    /// How often something was changed here.
    changes: AtomicU64,
    /// The last reading failed: what is shown is how things stood before.
    away: AtomicBool,
    /// One reads for all who ask meanwhile. It keeps how the last reading failed, which is their answer too.
    turn: Mutex<Option<(Instant, StoreError)>>,
}

impl Watch {
    /// Follows the sights; the store is polled as long as somebody does.
    pub(super) fn follow(pages: &Pages) -> watch::Receiver<Option<Arc<Sight>>> {
        let follower = pages.watch.latest.subscribe();
        if !pages.watch.polled.swap(true, Ordering::SeqCst) {
            tokio::spawn(poll(pages.clone()));
        }
        follower
    }

    /// Something was changed here: the next page looks for itself.
    pub(super) fn forget(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.latest.send_replace(None);
    }
}

impl Pages {
    /// The newest sight, read anew when it is no longer good.
    pub(super) async fn sight(&self) -> Result<Arc<Sight>, StoreError> {
        let held = self.watch.latest.borrow().clone();
        match held {
            Some(sight) if sight.read.elapsed() < sight.good_for => Ok(sight),
            Some(sight) if sight.good_for > LONG * 10 && sight.read.elapsed() < sight.good_for + STALE => {
                self.look_ahead();
                Ok(sight)
            }
            _ => self.look().await,
        }
    }

    /// When things stood as this sight says, while the store does not answer.
    pub(super) fn stood(&self, sight: &Sight) -> Option<Timestamp> {
        let before = || Timestamp::now().checked_sub(sight.read.elapsed()).ok();
        self.watch.away.load(Ordering::SeqCst).then(before).flatten()
    }

    /// Reads what all pages share, so that nobody waits for it. Needs a runtime.
    pub fn look_ahead(&self) {
        if self.watch.looked.swap(true, Ordering::SeqCst) {
            return;
        }
        let pages = self.clone();
        tokio::spawn(async move {
            // Whoever opens a page then sees what went wrong.
            let _ = pages.look().await;
            pages.watch.looked.store(false, Ordering::SeqCst);
        });
    }

    async fn look(&self) -> Result<Arc<Sight>, StoreError> {
        let asked = Instant::now();
        let mut turn = self.watch.turn.lock().await;
        let since = self.watch.latest.borrow().clone().filter(|sight| sight.read >= asked);
        if let Some(sight) = since {
            return Ok(sight);
        }
        if let Some((_, error)) = turn.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(error.clone());
        }
        let before = self.watch.changes.load(Ordering::SeqCst);
        let read = read(self).await;
        self.watch.away.store(read.is_err(), Ordering::SeqCst);
        *turn = read.as_ref().err().map(|error| (Instant::now(), error.clone()));
        let sight = Arc::new(read?);
        // What was begun before a change shows what was before it.
        if self.watch.changes.load(Ordering::SeqCst) == before {
            self.watch.latest.send_replace(Some(Arc::clone(&sight)));
        }
        Ok(sight)
    }
}

async fn poll(pages: Pages) {
    loop {
        let pause = match pages.look().await {
            Ok(sight) => sight.good_for,
            Err(error) => {
                tracing::warn!(%error, "open pages cannot be kept up to date; trying again");
                PERIOD
            }
        };
        tokio::time::sleep(pause).await;
        if pages.watch.latest.receiver_count() == 0 {
            pages.watch.polled.store(false, Ordering::SeqCst);
            // Somebody may have come between the two lines.
            if pages.watch.latest.receiver_count() == 0 || pages.watch.polled.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }
}

async fn read(pages: &Pages) -> Result<Sight, StoreError> {
    let begun = Instant::now();
    let page = |limit| Page { after: None, limit };
    let of = |state| JobFilter { state: Some(state), ..JobFilter::default() };
    let ambiguous = JobFilter { effect: Some(EffectState::Ambiguous), ..JobFilter::default() };
    let store = &pages.store;
    let (queues, workers, breakers, parked) =
        tokio::try_join!(store.counts(), store.workers(), store.breakers(), store.parked())?;
    let own = pages.own.clone();
    let mut sight = Sight { queues, workers, breakers, parked, own, ..Sight::empty() };
    let worked = Worked::by(&sight.workers);
    let alone: Vec<QueueName> = sight
        .queues
        .iter()
        .filter(|queue| worked.leaves(queue))
        .map(|queue| queue.queue.clone())
        .take(UNATTENDED)
        .collect();
    sight.next_kinds = store.next_kinds(&alone).await?;
    // Rows bring their payloads along: no list is kept while the next one is read. Each is a search, because a search has a bound.
    let mut changes = DefaultHasher::new();
    for filter in [JobFilter::default(), of(State::Running)] {
        notice(&store.search(&filter, &page(WATCHED)).await?.jobs, &mut changes);
    }
    sight.causes = causes(store.search(&of(State::Dead), &page(SAMPLE)).await?.jobs);
    let unclear = store.search(&ambiguous, &page(SAMPLE)).await?.jobs;
    sight.unclear = unclear.len() as u64;
    sight.unclear_dead = unclear.iter().filter(|job| job.state == State::Dead).count() as u64;
    for section in pages.sections.iter() {
        sight.sections.push(section.count().await);
    }
    sight.fingerprint = fingerprint(&sight, changes);
    (sight.read, sight.good_for) = (Instant::now(), PERIOD.max(begun.elapsed() * 10));
    Ok(sight)
}

pub(super) fn causes(dead: Vec<JobRecord>) -> BTreeMap<QueueName, Vec<String>> {
    let mut causes: BTreeMap<QueueName, Vec<String>> = BTreeMap::new();
    for job in dead {
        let cause = job.error.or(job.reason).unwrap_or_default();
        causes.entry(job.queue).or_default().push(cause);
    }
    causes
}

/// Whatever changes on the row of one of these jobs.
fn notice(jobs: &[JobRecord], changes: &mut DefaultHasher) {
    for job in jobs {
        (job.id, job.state, job.token.0, &job.progress, job.run_at.as_microsecond()).hash(changes);
    }
}

/// Signs of life are left out: they change all the time and nothing on a page is worth less for it.
fn fingerprint(sight: &Sight, mut changes: DefaultHasher) -> String {
    for queue in &sight.queues {
        (queue.queue.as_str(), queue.paused, &queue.by_state, &queue.more).hash(&mut changes);
    }
    for worker in &sight.workers {
        (worker.name.as_str(), worker.running).hash(&mut changes);
        for trouble in &worker.troubles {
            (&trouble.part, &trouble.said, trouble.harm as u8, trouble.next.map(|next| next.as_second()))
                .hash(&mut changes);
        }
    }
    for breaker in &sight.breakers {
        (&breaker.name, &breaker.state, breaker.failures).hash(&mut changes);
    }
    for parked in &sight.parked {
        (parked.queue.as_str(), parked.kind.as_str(), parked.jobs).hash(&mut changes);
    }
    sight.sections.hash(&mut changes);
    format!("{:016x}", changes.finish())
}

#[cfg(test)]
mod tests {
    use backshift_store::{Database, Options, SqlStore, migrate};

    use super::*;

    /// Pages that open at once, as after a start, would each read everything.
    #[tokio::test]
    async fn one_reads_for_all_who_ask_at_once() {
        let kept = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", kept.path().join("test.db").display());
        let db = Database::open(&url, &Options::default()).unwrap();
        migrate::up(&db, &[&migrate::ENGINE]).await.unwrap();
        let pages = Pages::new(Arc::new(SqlStore::new(db.clone())), "a test");
        let asked = || futures::future::join_all((0..20).map(|_| pages.sight()));
        let sights: Vec<Arc<Sight>> = asked().await.into_iter().map(Result::unwrap).collect();
        assert!(sights.iter().all(|sight| Arc::ptr_eq(sight, &sights[0])), "twenty read as one");
        pages.watch.forget();
        let anew = pages.sight().await.unwrap();
        assert!(!Arc::ptr_eq(&anew, &sights[0]), "who changed something sees it");
        db.close().await;
        pages.watch.forget();
        assert!(asked().await.iter().all(Result::is_err), "and all hear that it is away");
        assert!(pages.watch.away.load(Ordering::SeqCst));
    }

    /// A store that is slow to read is shown as it was; one that is away must not be shown as if it were there.
    #[tokio::test]
    async fn what_was_is_told_as_that_while_the_store_does_not_answer() {
        let kept = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", kept.path().join("test.db").display());
        let db = Database::open(&url, &Options::default()).unwrap();
        migrate::up(&db, &[&migrate::ENGINE]).await.unwrap();
        let pages = Pages::new(Arc::new(SqlStore::new(db.clone())), "a test");
        let mut slow = read(&pages).await.unwrap();
        slow.good_for = LONG * 20;
        slow.read = Instant::now().checked_sub(LONG * 21).unwrap();
        pages.watch.latest.send_replace(Some(Arc::new(slow)));
        let shown = pages.sight().await.unwrap();
        assert_eq!(pages.stood(&shown), None);
        db.close().await;
        assert!(pages.look().await.is_err());
        let shown = pages.sight().await.unwrap();
        let stood = pages.stood(&shown).expect("it is not how things stand");
        assert!(stood < Timestamp::now());
    }
}
