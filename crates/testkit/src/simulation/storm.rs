//! The storm: workers are killed, frozen and drained, servers go away, messages are doubled, clocks jump.

use std::time::Duration;

use backshift_core::{
    Broker, Bytes, Envelope, JobId, State,
    store::{Jobs, Queues},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::time::{Instant, sleep};

use super::{
    book::short,
    life::{Birth, Life},
    plan::Source,
    world::World,
};

/// The workers of a seed, and everything that happens to them.
pub(super) struct Fleet {
    pub(super) world: World,
    pub(super) places: Vec<Option<Life>>,
    number: u64,
    rng: SmallRng,
    began: Instant,
}

impl Fleet {
    pub(super) fn new(world: &World) -> Self {
        let places = (0..world.plan.workers).map(|_| None).collect();
        let rng = SmallRng::seed_from_u64(world.seed ^ 0x5709_0000);
        Self { world: world.clone(), places, number: 0, rng, began: Instant::now() }
    }

    /// Lets blows fall until the storm is over.
    pub(super) async fn storm(&mut self) {
        for place in 0..self.places.len() {
            self.begin(place);
        }
        let end = self.began + self.world.plan.storm;
        while Instant::now() < end {
            let pause = self.world.plan.pause.mul_f64(self.rng.random());
            sleep(pause).await;
            self.blow().await;
        }
    }

    /// Starts a worker at this place.
    pub(super) fn begin(&mut self, place: usize) {
        self.number += 1;
        let knows_fresh = !self.world.plan.with_fresh_kind
            || self.world.weather.is_calm()
            || self.began.elapsed() > self.world.plan.storm / 2;
        let reborn = !self.world.weather.is_calm() && self.rng.random_bool(0.3);
        let birth = Birth { number: self.number, reborn, knows_fresh, with_schedule: true };
        self.places[place] = Some(Life::begin(&self.world, place, birth));
    }

    /// Starts a worker where none runs.
    pub(super) fn begin_again(&mut self, place: usize) {
        if let Some(life) = self.places[place].take() {
            self.world.book.note(|| format!("{} ended by itself", life.name));
        }
        self.begin(place);
    }

    async fn blow(&mut self) {
        let place = self.rng.random_range(0..self.places.len());
        if self.places[place].as_ref().is_none_or(Life::is_over) {
            return self.begin_again(place);
        }
        match self.rng.random_range(0..14) {
            0 | 1 => self.kill(place).await,
            2 => {
                if let Some(life) = self.places[place].take() {
                    life.drain().await;
                }
                if self.rng.random_bool(0.7) {
                    self.begin(place);
                }
            }
            3 => self.freeze(place),
            4 => {
                self.world.book.note(|| "every connection is cut".into());
                self.world.broker.cut();
            }
            5 => {
                let (until, silent) = self.outage();
                self.world.book.note(|| format!("the store goes away, silent: {silent}"));
                self.world.weather.store_is_away(until, silent);
            }
            6 => {
                let (until, silent) = self.outage();
                self.world.book.note(|| format!("the broker goes away, silent: {silent}"));
                self.world.weather.broker_is_away(until, silent);
            }
            7 => {
                let (until, _) = self.outage();
                self.world.book.note(|| "the dependency goes away".into());
                self.world.weather.dependency_is_away(until);
            }
            8 if self.world.plan.doubles => self.double(),
            9 => self.litter().await,
            10 if self.world.plan.clock_steps => self.step_clock(place),
            11 => self.pause().await,
            12 => self.cancel().await,
            _ => {}
        }
    }

    async fn kill(&mut self, place: usize) {
        if let Some(life) = self.places[place].take() {
            life.kill().await;
        }
        if self.rng.random_bool(0.7) {
            self.begin(place);
        }
    }

    fn outage(&mut self) -> (Instant, bool) {
        let time = Duration::from_millis(self.rng.random_range(500..45_000));
        (Instant::now() + time, self.rng.random_bool(0.3))
    }

    fn freeze(&mut self, place: usize) {
        let time = self.world.plan.lease.mul_f64(self.rng.random_range(0.3..2.5));
        if let Some(life) = &self.places[place] {
            self.world.book.note(|| format!("{} is frozen for {time:?}", life.name));
            life.line.freeze(Instant::now() + time);
        }
    }

    fn step_clock(&mut self, place: usize) {
        let step = self.rng.random_range(-600_000..600_000);
        if let Some(life) = &self.places[place] {
            self.world.book.note(|| format!("the clock of {} steps by {step} ms", life.name));
            life.step_clock(step);
        }
    }

    /// Puts something into a foreign queue that is not a job, or another payload under the id of a job.
    async fn litter(&mut self) {
        let foreign = self.world.plan.queues.iter().find(|line| line.source == Source::Foreign);
        let Some(queue) = foreign.map(|line| line.queue.clone()) else { return };
        let number = self.rng.random::<u32>();
        let bytes = Bytes::from(format!("rubbish {number}"));
        let known = self.world.store.records().into_iter().find(|row| row.queue == queue && row.token.0 > 0);
        match known.filter(|_| self.rng.random_bool(0.5)) {
            Some(row) => {
                self.world.book.note(|| format!("another payload comes under the id {}", short(row.id)));
                let mut envelope = Envelope::new(row.kind, queue.clone(), bytes.clone(), row.created_at);
                envelope.id = row.id;
                // This handle has no faults.
                self.world.broker.publish(vec![envelope]).await;
            }
            None => self.world.broker.put_malformed(&queue, bytes.clone(), "no job"),
        }
        self.world.book.pages().rubbish.push((queue, bytes));
    }

    /// Doubles messages and turns queues around.
    pub(super) fn double(&mut self) {
        for line in self.world.plan.queues.iter().filter(|line| line.source == Source::Foreign) {
            let doubled = self.world.broker.duplicate(&line.queue, self.rng.random_range(0..50));
            if let Some(id) = doubled {
                self.world.book.note(|| format!("{} is delivered twice", short(id)));
                self.world.book.pages().doubled.insert(id);
            }
            if self.rng.random_bool(0.5) {
                self.world.broker.reverse(&line.queue);
            }
        }
    }

    async fn pause(&mut self) {
        let queue =
            self.world.plan.queues[self.rng.random_range(0..self.world.plan.queues.len())].queue.clone();
        let paused = self.rng.random_bool(0.5);
        self.world.book.note(|| format!("{queue} paused: {paused}"));
        // This handle has no faults.
        let _ = self.world.store.pause(&queue, paused).await;
        self.world.book.paused(&queue, paused);
    }

    /// A person cancels some job that is not over.
    async fn cancel(&mut self) {
        let open: Vec<JobId> = {
            let records = self.world.store.records();
            let open = records.iter().filter(|row| !row.state.is_final() && row.state != State::Dead);
            open.map(|row| row.id).collect()
        };
        if open.is_empty() {
            return;
        }
        let id = open[self.rng.random_range(0..open.len())];
        {
            let mut pages = self.world.book.pages();
            let Some(job) = pages.jobs.get_mut(&id) else { return };
            job.may_be_cancelled = true;
        }
        self.world.book.note(|| format!("somebody cancels {}", short(id)));
        let _ = self.world.store.cancel(id).await;
    }
}
