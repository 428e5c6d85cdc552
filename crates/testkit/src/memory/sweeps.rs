//! Hands and many jobs at once in the memory store: a sweep keeps its place and its wish as the databases do.

use async_trait::async_trait;
use backshift_core::{
    JobFilter, JobId, QueueName, State, StoreError, Timestamp,
    store::{Jobs as _, KEPT_AT_LEAST, Queues as _},
    sweep::{
        BATCH, CauseRecord, Causes, Deed, Hand, HandRecord, Matching, Sweep, SweepRecord, Sweeps, Swept, Upon,
    },
};
use uuid::Uuid;

use super::{
    MemoryStore,
    jobs::matches,
    ledger_broker,
    row::{Row, later},
    table::Place,
};

/// How long an unfinished sweep may lie before equal words begin a new one.
const OPEN_FOR: std::time::Duration = std::time::Duration::from_secs(3600);

fn legal(sweep: &Sweep) -> Result<(), StoreError> {
    match sweep.deed.applies_to_all(&sweep.filter) {
        true => signed(&sweep.hand),
        false => Err(StoreError::Rejected("name a state to which it applies".into())),
    }
}

fn signed(hand: &Hand) -> Result<(), StoreError> {
    if hand.is_signed() { Ok(()) } else { Err(StoreError::Rejected("say who acts".into())) }
}

fn noted(at: Timestamp, deed: &str, upon: Upon, hand: &Hand, sweep: Option<Uuid>) -> HandRecord {
    HandRecord { at, deed: deed.to_owned(), upon, hand: hand.clone(), sweep }
}

fn key(row: &Row) -> (Timestamp, JobId) {
    (row.envelope.created_at, row.envelope.id)
}

#[async_trait]
impl Sweeps for MemoryStore {
    async fn matching(&self, filter: &JobFilter) -> Result<Matching, StoreError> {
        self.call("store.matching", |store| {
            let jobs = store.table().rows.values().filter(|row| matches(row, filter)).count() as u64;
            Ok(Matching { jobs, more: false })
        })
        .await
    }

    async fn begin_sweep(&self, sweep: &Sweep) -> Result<Swept, StoreError> {
        legal(sweep)?;
        self.call("store.begin_sweep", |store| {
            let (now, mut table) = (store.now(), store.table());
            let open = |Place { record, .. }: &&Place| {
                let same = record.sweep.deed == sweep.deed && record.sweep.words == sweep.words;
                same && !record.swept.done && later(record.touched_at, OPEN_FOR) > now
            };
            if let Some(place) = table.sweeps.iter().find(open) {
                return Ok(place.record.swept.clone());
            }
            let until = sweep.filter.until.map_or(now, |until| until.min(now));
            let filter = JobFilter { until: Some(until), ..sweep.filter.clone() };
            let swept = Swept { id: Uuid::now_v7(), found: 0, changed: 0, done: false, queues: Vec::new() };
            let sweep = Sweep { filter, ..sweep.clone() };
            let record = SweepRecord { sweep, swept: swept.clone(), begun_at: now, touched_at: now };
            table.sweeps.push(Place { record, after: None });
            Ok(swept)
        })
        .await
    }

    async fn sweep(&self, id: Uuid, hand: &Hand) -> Result<Swept, StoreError> {
        signed(hand)?;
        let answer = self
            .call("store.sweep", |store| {
                let (now, mut table) = (store.now(), store.table());
                let missing = || StoreError::NotFound(format!("the sweep {id}"));
                let of = |place: &Place| place.record.swept.id == id;
                let at = table.sweeps.iter().position(of).ok_or_else(missing)?;
                let Place { mut record, mut after } = table.sweeps[at].clone();
                if record.swept.done {
                    return Ok(record.swept);
                }
                let (deed, filter) = (record.sweep.deed, &record.sweep.filter);
                let wanted = |row: &&Row| matches(row, filter) && after.is_none_or(|after| key(row) < after);
                let mut met: Vec<_> = table.rows.values().filter(wanted).map(key).collect();
                met.sort_by_key(|key| std::cmp::Reverse(*key));
                record.swept.done = met.len() < BATCH as usize;
                met.truncate(BATCH as usize);
                after = met.last().copied().or(after);
                for (_, job) in &met {
                    if act(&mut table, deed, *job, now, &mut record.swept.queues) {
                        record.swept.changed += 1;
                        let noted = noted(now, deed.as_str(), Upon::Job(*job), hand, Some(id));
                        table.deeds.push(noted);
                    }
                }
                record.swept.found += met.len() as u64;
                record.touched_at = now;
                let answer = record.swept.clone();
                record.swept.queues.clear();
                table.sweeps[at] = Place { record, after };
                Ok(answer)
            })
            .await;
        self.wished();
        self.arrived().notify_waiters();
        answer
    }

    async fn find_sweep(&self, id: Uuid) -> Result<Option<SweepRecord>, StoreError> {
        self.call("store.find_sweep", |store| {
            let table = store.table();
            let found = table.sweeps.iter().find(|place| place.record.swept.id == id);
            Ok(found.map(|place| place.record.clone()))
        })
        .await
    }

    async fn act(&self, deed: Deed, job: JobId, hand: &Hand) -> Result<State, StoreError> {
        signed(hand)?;
        let before = self.find(job).await?.ok_or_else(|| StoreError::NotFound(format!("job {job}")))?;
        let state = match deed {
            Deed::Retry => self.retry(job).await?,
            Deed::Cancel => self.cancel(job).await?,
            Deed::Delete => {
                let now = self.now();
                if !act(&mut self.table(), deed, job, now, &mut Vec::new()) {
                    return Err(StoreError::Rejected(format!("job {job} stays")));
                }
                before.state
            }
        };
        let changed = match deed {
            Deed::Retry => before.state != state,
            Deed::Cancel => !before.state.is_final(),
            Deed::Delete => true,
        };
        if changed {
            let noted = noted(self.now(), deed.as_str(), Upon::Job(job), hand, None);
            self.table().deeds.push(noted);
        }
        Ok(state)
    }

    async fn turn(&self, queue: &QueueName, paused: bool, hand: &Hand) -> Result<bool, StoreError> {
        signed(hand)?;
        let changed = self.pause(queue, paused).await?;
        if changed {
            let deed = if paused { "pause" } else { "resume" };
            let noted = noted(self.now(), deed, Upon::Queue(queue.clone()), hand, None);
            self.table().deeds.push(noted);
        }
        Ok(changed)
    }

    async fn hands(&self, job: JobId) -> Result<Vec<HandRecord>, StoreError> {
        let of = |hand: &&HandRecord| hand.upon == Upon::Job(job);
        self.call("store.hands", |store| Ok(store.table().deeds.iter().filter(of).cloned().collect())).await
    }

    async fn last_hands(&self, jobs: &[JobId]) -> Result<Vec<HandRecord>, StoreError> {
        self.call("store.last_hands", |store| {
            let table = store.table();
            let last = |job: &JobId| table.deeds.iter().rfind(|hand| hand.upon == Upon::Job(*job)).cloned();
            Ok(jobs.iter().filter_map(last).collect())
        })
        .await
    }

    async fn all_hands(&self, before: Option<Timestamp>, limit: u32) -> Result<Vec<HandRecord>, StoreError> {
        self.call("store.all_hands", |store| {
            let table = store.table();
            let single = table.deeds.iter().filter(|hand| hand.sweep.is_none()).cloned();
            let many = table.sweeps.iter().map(|Place { record, .. }| {
                let Sweep { deed, words, hand, .. } = &record.sweep;
                let upon = Upon::Many {
                    words: words.clone(),
                    changed: record.swept.changed,
                    done: record.swept.done,
                };
                noted(record.begun_at, deed.as_str(), upon, hand, Some(record.swept.id))
            });
            let earlier = |hand: &HandRecord| before.is_none_or(|before| hand.at < before);
            let mut all: Vec<HandRecord> = single.chain(many).filter(earlier).collect();
            all.sort_by_key(|hand| std::cmp::Reverse(hand.at));
            all.truncate(limit as usize);
            Ok(all)
        })
        .await
    }

    async fn causes(&self, filter: &JobFilter) -> Result<Causes, StoreError> {
        self.call("store.causes", |store| {
            let filter = JobFilter { state: Some(State::Dead), ..filter.clone() };
            let mut causes: Vec<CauseRecord> = Vec::new();
            for row in store.table().rows.values().filter(|row| matches(row, &filter)) {
                let (at, id) = key(row);
                let fingerprint = row.fingerprint();
                match causes.iter_mut().find(|cause| cause.fingerprint == fingerprint) {
                    Some(cause) => {
                        cause.jobs += 1;
                        (cause.first, cause.last) = (cause.first.min(at), cause.last.max(at));
                    }
                    None => causes.push(CauseRecord {
                        fingerprint,
                        jobs: 1,
                        first: at,
                        last: at,
                        example: id,
                        error: row.error.clone(),
                    }),
                }
            }
            causes.sort_by_key(|cause| (std::cmp::Reverse(cause.jobs), cause.fingerprint.clone()));
            Ok(Causes { causes, back_to: None })
        })
        .await
    }
}

/// Does it to one job; whether it did.
fn act(
    table: &mut super::table::Table,
    deed: Deed,
    job: JobId,
    now: Timestamp,
    queues: &mut Vec<QueueName>,
) -> bool {
    let held = |row: &Row| {
        let key = row.envelope.unique.as_ref().map(|unique| unique.key.clone());
        key.is_some_and(|key| {
            table.rows.values().any(|other| other.is_seated(&key) && other.envelope.id != row.envelope.id)
        })
    };
    let Some(row) = table.rows.get(&job).filter(|row| deed.applies_to(row.state)) else { return false };
    let refused = match deed {
        Deed::Retry => held(row),
        Deed::Cancel => false,
        Deed::Delete => {
            row.broker != ledger_broker::NAME
                && row.finished_at.is_none_or(|at| later(at, KEPT_AT_LEAST) > now)
        }
    };
    if refused {
        return false;
    }
    let Some(row) = table.rows.get_mut(&job) else { return false };
    match deed {
        Deed::Retry => {
            row.again(now);
            if !queues.contains(&row.envelope.queue) {
                queues.push(row.envelope.queue.clone());
            }
        }
        Deed::Cancel if row.state == State::Running => row.cancel_requested = true,
        Deed::Cancel => row.finish(State::Cancelled, now),
        Deed::Delete => {
            table.rows.remove(&job);
        }
    }
    true
}
