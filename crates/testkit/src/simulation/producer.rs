//! Producers: they enqueue over a bad line and repeat the same id until somebody said that it is accepted.
//!
//! A few give up after the first error: their jobs may be there or not, but if they are, they must end well too.

use std::time::Duration;

use backshift_core::{Accepted, Client, Clock, Envelope, JobId, QueueName, State, UniqueKey, UniquePolicy};
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    book::{Expected, mark, short},
    handlers::{FRESH, GUARDED, LIMITED, MAX_PAYLOAD, PLAIN, RATED, named},
    line::{Line, Quality},
    plan::Source,
    rules::Rule,
    script::{End, Failing, Script},
    world::{Ports, World},
};

/// One job before it is enqueued.
pub(super) struct Draft {
    pub(super) kind: &'static str,
    pub(super) script: Script,
    pub(super) queue: QueueName,
    pub(super) max_attempts: Option<u32>,
    pub(super) delay: Option<Duration>,
    pub(super) unique: Option<UniqueKey>,
    pub(super) chosen_id: bool,
    pub(super) too_large: bool,
}

impl Draft {
    /// A job of a kind that only does its script.
    pub(super) fn of(script: Script, queue: QueueName) -> Self {
        Self {
            kind: PLAIN,
            script,
            queue,
            max_attempts: None,
            delay: None,
            unique: None,
            chosen_id: false,
            too_large: false,
        }
    }

    /// Any job.
    fn any(world: &World, number: u32, rng: &mut impl Rng) -> Self {
        let plan = &world.plan;
        let queue = plan.queues[rng.random_range(0..plan.queues.len())].queue.clone();
        let script = match rng.random_bool(0.1) {
            true => Script::haunted(number, rng),
            false => Script::any(number, rng),
        };
        let mut draft = Self::of(script, queue);
        draft.kind = match rng.random_range(0..20) {
            0..3 => GUARDED,
            3..5 => LIMITED,
            5..7 => RATED,
            7..9 if plan.with_fresh_kind => FRESH,
            _ => PLAIN,
        };
        // Failures that the script does not name may come on top of a guarded job's, so it has all attempts.
        let few = draft.kind == PLAIN && draft.script.how != Failing::Rollback && draft.script.ghost == 0;
        draft.max_attempts = (few && rng.random_bool(0.2)).then(|| rng.random_range(2..4));
        draft.delay = rng.random_bool(0.15).then(|| Duration::from_millis(rng.random_range(1000..90_000)));
        draft.chosen_id = rng.random_bool(0.2);
        draft.too_large = draft.kind == PLAIN && rng.random_bool(0.03);
        draft
    }
}

/// A producer over its own line.
pub(super) struct Producer {
    world: World,
    ports: Ports,
    rng: SmallRng,
}

impl Producer {
    /// A producer whose line is as bad as the workers', but never deadly.
    pub(super) fn new(world: &World, number: u64) -> Self {
        let seed = world.seed.wrapping_mul(7919).wrapping_add(number);
        let quality = Quality { deadly: 0.0, ..world.plan.quality };
        let line = Line::new(&format!("producer {number}"), seed, quality, &world.weather, &world.book);
        Self { world: world.clone(), ports: world.ports(&line), rng: SmallRng::seed_from_u64(seed) }
    }

    /// Enqueues the storm's jobs, all over the storm.
    pub(super) async fn storm(mut self) {
        let (count, time) = (self.world.plan.jobs, self.world.plan.storm);
        for number in 0..count {
            if number > count / 3 {
                sleep(time.mul_f64(self.rng.random::<f64>() * 2.0 / count as f64)).await;
            }
            let draft = Draft::any(&self.world, number as u32 + 1, &mut self.rng);
            let patient = self.rng.random_bool(0.95);
            self.enqueue(draft, patient).await;
        }
    }

    /// Enqueues jobs that share a few unique keys.
    pub(super) async fn rivals(mut self, count: u32) {
        for number in 0..count {
            sleep(self.world.plan.storm.mul_f64(self.rng.random::<f64>() * 2.0 / f64::from(count))).await;
            let policy =
                if self.rng.random_bool(0.7) { UniquePolicy::Reject } else { UniquePolicy::KeepLast };
            let key = format!("key-{policy:?}-{}", self.rng.random_range(0..2));
            let mut draft = Draft::any(&self.world, 1000 + number, &mut self.rng);
            (draft.unique, draft.too_large) = (Some(UniqueKey { key, policy }), false);
            self.enqueue(draft, true).await;
        }
    }

    /// Enqueues one job; its id when it was taken up as a new one.
    pub(super) async fn enqueue(&mut self, draft: Draft, patient: bool) -> Option<JobId> {
        let id = JobId(Uuid::from_u128(self.rng.random()));
        let (source, keep_last) = (self.world.source(&draft.queue), is_keep_last(&draft));
        let key = draft.unique.as_ref().map(|unique| unique.key.clone());
        let envelope = self.envelope(id, &draft, source);
        let job = Expected {
            queue: draft.queue,
            payload: envelope.payload.clone(),
            max_attempts: draft.max_attempts.unwrap_or(25),
            run_at: envelope.run_at,
            accepted: false,
            may_be_cancelled: keep_last,
            too_large: draft.too_large,
            key: key.clone(),
            script: draft.script,
        };
        self.world.book.note(|| format!("enqueues {} {} {:?}", short(id), envelope.kind, job.script));
        self.world.book.expect(id, job);
        let client = self.ports.client(source, self.world.clock);
        match self.hand_over(&client, envelope, patient).await? {
            Accepted::Unique(holder) => {
                self.world.book.note(|| format!("{} gives way to {}", short(id), short(holder)));
                self.world.book.pages().jobs.remove(&id);
                None
            }
            Accepted::New(_) | Accepted::Known { .. } => {
                self.world.book.accepted(id);
                if let Some(key) = key {
                    self.count_rivals(&key, keep_last);
                }
                Some(id)
            }
        }
    }

    fn envelope(&mut self, id: JobId, draft: &Draft, source: Source) -> Envelope {
        let now = Clock::now(&self.world.clock);
        let payload = match draft.too_large {
            true => vec![b' '; MAX_PAYLOAD + 1].into(),
            false => draft.script.payload(),
        };
        let mut envelope = Envelope::new(named(draft.kind), draft.queue.clone(), payload, now);
        envelope.id = id;
        envelope.headers.insert("mark".into(), mark(id));
        envelope.max_attempts = draft.max_attempts;
        envelope.unique.clone_from(&draft.unique);
        let delay = draft.delay.and_then(|delay| jiff::SignedDuration::try_from(delay).ok());
        envelope.run_at = delay.and_then(|delay| now.checked_add(delay).ok());
        envelope.idempotency_key = draft.chosen_id.then(|| id.to_string());
        if source == Source::Ledger && self.rng.random_bool(0.2) {
            envelope.priority = self.rng.random_range(-10..10);
        }
        envelope
    }

    async fn hand_over(&mut self, client: &Client, envelope: Envelope, patient: bool) -> Option<Accepted> {
        loop {
            match client.enqueue_raw(envelope.clone()).await {
                Ok(accepted) => return Some(accepted),
                Err(error) if !error.is_transient() => {
                    let text = format!("{} was refused for good: {error}", short(envelope.id));
                    self.world.book.broken(Rule::Ended, text);
                    return None;
                }
                Err(_) if !patient => return None,
                Err(_) => sleep(Duration::from_millis(self.rng.random_range(10..3000))).await,
            }
        }
    }

    /// How many unfinished jobs hold the key now: one; with keep-last one that waits, beside those that run and
    /// were superseded.
    fn count_rivals(&self, key: &str, keep_last: bool) {
        let rows = self.world.store.records();
        let holds = |row: &&backshift_core::JobRecord| {
            let open = !(row.state.is_final() || keep_last && row.state == State::Running);
            open && row.unique_key.as_deref() == Some(key)
        };
        let holders = rows.iter().filter(holds).count();
        if holders > 1 {
            self.world.book.broken(Rule::Unique, format!("{holders} unfinished jobs hold {key}"));
        }
    }
}

fn is_keep_last(draft: &Draft) -> bool {
    draft.unique.as_ref().is_some_and(|unique| unique.policy == UniquePolicy::KeepLast)
}

/// The jobs of the calm: one of each sort, long ones, crowds for the limits, and more panics than slots.
pub(super) fn calm_jobs(world: &World) -> Vec<Draft> {
    let lease = world.plan.lease.as_millis() as u64;
    let plain = Script::plain;
    let mut drafts = Vec::new();
    for (number, line) in world.plan.queues.iter().enumerate() {
        let base = 2000 + 100 * number as u32;
        let mut add = |kind: &'static str, script: Script| {
            drafts.push(Draft { kind, ..Draft::of(script, line.queue.clone()) });
        };
        let work = (lease * 5 / 2).min(90_000);
        add(PLAIN, Script { work, end: End::Effect, ..plain(base + 1) });
        add(PLAIN, Script { work: lease * 3 / 2, snoozes: 1, deaf: true, ..plain(base + 2) });
        add(PLAIN, Script { end: End::Outside, ..plain(base + 3) });
        add(PLAIN, Script { end: End::Permanent, ..plain(base + 4) });
        add(PLAIN, Script { fails: 1, how: Failing::Timeout, end: End::Effect, ..plain(base + 5) });
        add(PLAIN, Script { fails: 1, how: Failing::Rollback, end: End::Effect, ..plain(base + 6) });
        add(FRESH, Script { end: End::Effect, ..plain(base + 7) });
        for more in 0..5 {
            add(LIMITED, Script { work: 3000, ..plain(base + 20 + more) });
            add(RATED, plain(base + 30 + more));
        }
        for more in 0..2 * line.slots as u32 {
            add(PLAIN, Script { fails: 2, how: Failing::Panic, end: End::Effect, ..plain(base + 40 + more) });
        }
        drafts.push(Draft {
            max_attempts: Some(2),
            ..Draft::of(Script { fails: 5, ..plain(base + 60) }, line.queue.clone())
        });
        drafts.push(Draft {
            delay: Some(Duration::from_secs(20)),
            ..Draft::of(plain(base + 61), line.queue.clone())
        });
    }
    drafts
}
