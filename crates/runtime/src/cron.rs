//! Enqueues jobs by the calendar: each tick once, however many instances run.
//!
//! A tick is enqueued *before* the schedule advances: a crash in between enqueues it again under the same id,
//! which adds nothing. The id is derived from the schedule's name and the tick's time.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Accepted, Bytes, Client, Clock, EnqueueOptions, Job, JobId, Kind, QueueName, Store, Timestamp, UniqueKey,
    UniquePolicy, client::check_size, wire,
};
use tokio::time::sleep;
use uuid::Uuid;

pub use crate::cron_slots::InvalidSchedule;
use crate::{
    cron_slots::Slots,
    planted::{Bug, has},
};

/// The namespace of the ids of ticks.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d0c_1f5e_8a57_4f0b_9b5d_3c7e_21a9_04d6);
/// The longest sleep: the wall clock may jump, and another instance may have advanced.
const LONGEST: Duration = Duration::from_secs(1);
const AFTER_TROUBLE: Duration = Duration::from_secs(2);
/// A tick that is older than this was missed.
const ON_TIME: Duration = Duration::from_secs(60);

/// What to do with ticks that nobody was there to enqueue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    /// Forget them.
    Skip,
    /// Enqueue the latest of them.
    #[default]
    RunOnce,
    /// Enqueue them all, oldest first, at most this many of the latest.
    CatchUp(u32),
}

/// What to do when the previous tick's job is not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// Enqueue the new one beside it.
    #[default]
    Allow,
    /// Leave the tick out: the job's unique key is the schedule.
    Skip,
}

/// A job that is enqueued by the calendar.
///
/// ```
/// # use {backshift_core::Job, backshift_runtime as backshift};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct Clean { days: u32 }
/// # impl Job for Clean { const KIND: &'static str = "clean"; }
/// use backshift::{Missed, Overlap, Schedule};
///
/// # fn main() -> Result<(), backshift::InvalidSchedule> {
/// let nightly = Schedule::of("nightly-clean", "0 3 * * *", &Clean { days: 30 })?
///     .zone("Europe/Berlin")?
///     .missed(Missed::RunOnce) // after a night off: the latest tick, not all of them
///     .overlap(Overlap::Skip); // not while yesterday's still runs
/// # assert_eq!(nightly.name(), "nightly-clean");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Schedule {
    name: String,
    slots: Slots,
    kind: Kind,
    queue: QueueName,
    payload: Bytes,
    missed: Missed,
    overlap: Overlap,
}

impl Schedule {
    /// A typed job, in its kind's own queue; for `when` see [`Self::new`].
    pub fn of<J: Job>(name: impl Into<String>, when: &str, job: &J) -> Result<Self, InvalidSchedule> {
        let name = name.into();
        let bad = |problem: &dyn std::fmt::Display| InvalidSchedule::new(&name, problem);
        let kind = Kind::new(J::KIND).map_err(|error| bad(&error))?;
        let queue = QueueName::new(J::QUEUE).map_err(|error| bad(&error))?;
        let payload = serde_json::to_vec(job).map_err(|error| bad(&error))?;
        check_size(payload.len()).map_err(|error| bad(&error))?;
        Self::new(name, when, kind, queue, payload)
    }

    /// `when` is a cron expression of five or six fields, a nickname such as `@daily`, or `@every 30s`; in UTC
    /// unless [`Self::zone`] says otherwise. The name identifies the schedule fleet-wide.
    pub fn new(
        name: impl Into<String>,
        when: &str,
        kind: Kind,
        queue: QueueName,
        payload: impl Into<Bytes>,
    ) -> Result<Self, InvalidSchedule> {
        let name = name.into();
        if name.is_empty() || name.len() > 200 || name.contains('\0') {
            return Err(InvalidSchedule::name(&name));
        }
        let (slots, payload) = (Slots::parse(when)?, payload.into());
        Ok(Self { name, slots, kind, queue, payload, missed: Missed::default(), overlap: Overlap::default() })
    }

    /// In this queue instead of the kind's own.
    pub fn queue(mut self, name: &str) -> Result<Self, InvalidSchedule> {
        self.queue = QueueName::new(name).map_err(|error| InvalidSchedule::new(&self.name, error))?;
        Ok(self)
    }

    /// In this IANA time zone, such as `Europe/Berlin`. A time that a change of clocks skips runs right after the
    /// gap; a time that it repeats runs once, unless the expression is an interval such as `*/5 * * * *`.
    pub fn zone(mut self, zone: &str) -> Result<Self, InvalidSchedule> {
        self.slots = self.slots.in_zone(zone)?;
        Ok(self)
    }

    /// What to do with missed ticks.
    #[must_use]
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// What to do when the previous job is not finished.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// What its jobs are, and where they stand.
    pub(crate) fn job(&self) -> (&Kind, &QueueName) {
        (&self.kind, &self.queue)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first tick after this time, if there is one.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        self.slots.next_after(time)
    }

    /// The id of the job of one tick: the same on every instance.
    pub fn tick_id(&self, tick: Timestamp) -> JobId {
        let name = format!("{}\n{}", self.name, tick.as_microsecond());
        JobId(Uuid::new_v5(&NAMESPACE, name.as_bytes()))
    }

    /// The ticks to enqueue now, oldest first, and the slot to advance to; `None` = nothing is due. Pure.
    pub fn due(&self, last: Timestamp, now: Timestamp) -> Option<(Vec<Timestamp>, Timestamp)> {
        let keep = match self.missed {
            Missed::CatchUp(most) => most.max(1) as usize,
            Missed::Skip | Missed::RunOnce => 1,
        };
        let ticks = self.slots.latest_between(last, now, keep);
        let latest = *ticks.last()?;
        let late = now.duration_since(latest) > jiff::SignedDuration::from_secs(ON_TIME.as_secs() as i64);
        match self.missed {
            Missed::Skip if late => Some((Vec::new(), latest)),
            _ => Some((ticks, latest)),
        }
    }
}

/// Runs every schedule of this worker.
pub struct Cron {
    schedules: Vec<Schedule>,
    client: Client,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl Cron {
    /// Enqueues through the client; the store remembers which tick was the last.
    pub fn new(
        schedules: Vec<Schedule>,
        client: Client,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { schedules, client, store, clock }
    }

    pub(crate) fn schedules(&self) -> &[Schedule] {
        &self.schedules
    }

    /// Ticks until it is dropped.
    pub async fn run(self: Arc<Self>) {
        // Without those whose last year is over: to look for a tick that never comes takes long.
        let mut alive: Vec<&Schedule> = self.schedules.iter().collect();
        loop {
            let mut pause = LONGEST;
            let mut over = Vec::new();
            for schedule in &alive {
                match self.tick(schedule).await {
                    Ok(Some(wait)) => pause = pause.min(wait),
                    Ok(None) => over.push(schedule.name()),
                    Err(error) => {
                        tracing::warn!(%error, schedule = schedule.name, "a tick could not be enqueued; tried again");
                        pause = AFTER_TROUBLE;
                    }
                }
            }
            alive.retain(|schedule| !over.contains(&schedule.name()));
            sleep(pause.max(Duration::from_millis(1))).await;
        }
    }

    /// Enqueues what is due; how long until the next tick, `None` = there is none any more.
    async fn tick(&self, schedule: &Schedule) -> Result<Option<Duration>, backshift_core::EnqueueError> {
        let now = self.clock.now();
        let last = self.store.last_tick(&schedule.name, now).await?;
        let Some((ticks, latest)) = schedule.due(last, now) else {
            let next = schedule.next_after(last.max(now));
            return Ok(next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or(LONGEST)));
        };
        if has(Bug::AdvancesBeforeTheTick) {
            self.store.advance(&schedule.name, last, latest).await?;
        }
        for tick in ticks {
            let accepted = self.client.enqueue_raw(self.envelope(schedule, tick)).await?;
            match accepted {
                Accepted::New(job) => tracing::info!(schedule = schedule.name, %tick, %job, "enqueued"),
                Accepted::Known { .. } => {} // Another instance was first.
                Accepted::Unique(job) => {
                    tracing::info!(schedule = schedule.name, %tick, %job, "left out: the previous job is not finished");
                }
            }
        }
        self.store.advance(&schedule.name, last, latest).await?;
        Ok(Some(Duration::ZERO))
    }

    fn envelope(&self, schedule: &Schedule, tick: Timestamp) -> backshift_core::Envelope {
        let unique = UniqueKey { key: format!("cron:{}", schedule.name), policy: UniquePolicy::Reject };
        let mut options = EnqueueOptions {
            id: Some(if has(Bug::TicksTwice) { JobId::generate() } else { schedule.tick_id(tick) }),
            unique: (schedule.overlap == Overlap::Skip).then_some(unique),
            ..EnqueueOptions::default()
        };
        options.headers.insert(wire::CRON.into(), schedule.name.clone());
        options.headers.insert(wire::TICK.into(), tick.to_string());
        let (kind, queue) = (schedule.kind.clone(), schedule.queue.clone());
        self.client.envelope(kind, queue, schedule.payload.clone(), options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(missed: Missed) -> Schedule {
        let (kind, queue) = (Kind::new("a").unwrap(), QueueName::new("q").unwrap());
        Schedule::new("hourly", "0 * * * *", kind, queue, "{}").unwrap().missed(missed)
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_schedule_of_a_job_that_could_never_be_enqueued_is_refused() {
        macro_rules! job {
            ($name:ident, $kind:literal, $queue:literal) => {
                #[derive(serde::Serialize, serde::Deserialize)]
                struct $name(String);
                impl Job for $name {
                    const KIND: &'static str = $kind;
                    const QUEUE: &'static str = $queue;
                }
            };
        }
        job!(Good, "a.b", "q");
        job!(BadKind, "a b", "q");
        job!(BadQueue, "a.b", "amq.q");
        let named = |answer: Result<Schedule, InvalidSchedule>| {
            let text = answer.unwrap_err().to_string();
            assert!(text.contains("nightly"), "{text}");
            text
        };
        assert!(named(Schedule::of("nightly", "@daily", &BadKind(String::new()))).contains("kind \"a b\""));
        assert!(named(Schedule::of("nightly", "@daily", &BadQueue(String::new()))).contains("amq.q"));
        let large = Good("x".repeat(backshift_core::client::MAX_PAYLOAD_BYTES));
        assert!(named(Schedule::of("nightly", "@daily", &large)).contains("262146 bytes"));
        let good = Schedule::of("nightly", "@daily", &Good(String::new())).unwrap();
        assert!(named(good.clone().queue("a b")).contains("a b"));
        assert_eq!((good.kind.as_str(), good.queue.as_str(), &good.payload[..]), ("a.b", "q", &b"\"\""[..]));
        assert!(Schedule::of("nightly", "at dawn", &Good(String::new())).is_err());
    }

    #[test]
    fn a_tick_on_time_is_enqueued_under_every_policy() {
        for missed in [Missed::Skip, Missed::RunOnce, Missed::CatchUp(3)] {
            let due = schedule(missed).due(at("2026-01-01T00:00:00Z"), at("2026-01-01T01:00:00.2Z"));
            assert_eq!(due, Some((vec![at("2026-01-01T01:00:00Z")], at("2026-01-01T01:00:00Z"))));
            assert!(schedule(missed).due(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:59:59Z")).is_none());
        }
    }

    #[test]
    fn missed_ticks_are_forgotten_joined_or_caught_up_with() {
        let (last, now) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T05:30:00Z"));
        let latest = at("2026-01-01T05:00:00Z");
        assert_eq!(schedule(Missed::Skip).due(last, now), Some((vec![], latest)));
        assert_eq!(schedule(Missed::RunOnce).due(last, now), Some((vec![latest], latest)));
        let (ticks, to) = schedule(Missed::CatchUp(3)).due(last, now).unwrap();
        assert_eq!(ticks, [at("2026-01-01T03:00:00Z"), at("2026-01-01T04:00:00Z"), latest]);
        assert_eq!(to, latest);
    }

    #[test]
    fn a_tick_has_one_id_on_every_instance() {
        let (one, two) = (schedule(Missed::Skip), schedule(Missed::RunOnce));
        let tick = at("2026-01-01T05:00:00Z");
        assert_eq!(one.tick_id(tick), two.tick_id(tick));
        assert_ne!(one.tick_id(tick), one.tick_id(at("2026-01-01T06:00:00Z")));
    }
}
