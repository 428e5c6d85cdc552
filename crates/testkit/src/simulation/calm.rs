//! The calm after the storm: nothing fails any more, so everything has to come to its end, and what was allowed in
//! the storm is not allowed now: no lease may be lost, no limit passed, no paused queue worked.

use std::time::Duration;

use backshift_core::{Clock, QueueName, State, UniqueKey, UniquePolicy, store::Queues};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    life::{Birth, Life},
    producer::{Draft, Producer, calm_jobs},
    rules::Rule,
    script::Script,
    storm::Fleet,
    world::World,
};

/// How long everything may take to end.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);

impl Fleet {
    /// Heals the world and waits for every job; then the same with jobs of the calm, under stricter rules.
    pub(super) async fn calm_after(&mut self, producers: [JoinHandle<()>; 2]) {
        self.heal().await;
        for producer in producers {
            if producer.await.is_err() {
                self.world.book.broken(Rule::Ended, "a producer ended before it had enqueued everything");
            }
        }
        if !self.at_rest().await {
            return self.give_up("the storm's jobs").await;
        }
        for place in 0..self.places.len() {
            if self.places[place].as_ref().is_none_or(Life::is_over) {
                self.begin_again(place);
            }
        }
        {
            let mut pages = self.world.book.pages();
            pages.calm = Some((Instant::now(), self.world.clock.now()));
        }
        self.strict().await;
        if !self.at_rest().await {
            return self.give_up("the calm's jobs").await;
        }
        self.check_readiness();
        self.finish().await;
    }

    async fn heal(&mut self) {
        self.world.book.note(|| "the calm begins".into());
        self.world.weather.clear_up();
        for line in &self.world.plan.queues {
            let _ = self.world.store.pause(&line.queue, false).await;
            self.world.book.paused(&line.queue, false);
        }
        for place in 0..self.places.len() {
            let life = self.places[place].take().filter(|life| !life.is_over());
            match life {
                Some(life) if life.birth.knows_fresh => {
                    life.line.thaw();
                    self.places[place] = Some(life);
                }
                Some(life) => {
                    life.line.thaw();
                    life.drain().await;
                    self.begin(place);
                }
                None => self.begin(place),
            }
        }
    }

    /// Jobs of the calm, doubled messages, a drain and a pause.
    async fn strict(&mut self) {
        let mut producer = Producer::new(&self.world, 100);
        for draft in calm_jobs(&self.world) {
            producer.enqueue(draft, true).await;
        }
        self.reclaim_keys(&mut producer).await;
        for round in 0..10 {
            sleep(Duration::from_secs(4)).await;
            if self.world.plan.doubles {
                self.double();
            }
            match round {
                0 | 1 => self.succeed(&mut producer, round).await,
                2 => self.pause_first(true).await,
                5 => self.pause_first(false).await,
                6 => {
                    if let Some(life) = self.places[0].take() {
                        life.drain().await;
                    }
                    self.begin(0);
                }
                _ => {}
            }
        }
    }

    /// A job, and while it runs the one that takes over its key.
    async fn succeed(&self, producer: &mut Producer, round: u32) {
        let unique = UniqueKey { key: "calm-keep-last".into(), policy: UniquePolicy::KeepLast };
        let queue = self.world.plan.queues[0].queue.clone();
        let script = Script { work: 9000, deaf: true, ..Script::plain(9001 + round) };
        producer.enqueue(Draft { unique: Some(unique), ..Draft::of(script, queue) }, true).await;
    }

    async fn pause_first(&self, paused: bool) {
        let queue: &QueueName = &self.world.plan.queues[0].queue;
        let _ = self.world.store.pause(queue, paused).await;
        self.world.book.paused(queue, paused);
    }

    /// Every job of the storm is over, so every key of theirs is free.
    async fn reclaim_keys(&self, producer: &mut Producer) {
        let rows = self.world.store.records();
        let mut keys: Vec<String> = rows.into_iter().filter_map(|row| row.unique_key).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let unique = Some(UniqueKey { key: key.clone(), policy: UniquePolicy::Reject });
            let queue = self.world.plan.queues[0].queue.clone();
            let draft = Draft { unique, ..Draft::of(Script::plain(9000), queue) };
            if producer.enqueue(draft, true).await.is_none() {
                self.world.book.broken(Rule::Unique, format!("{key} is held after every job has ended"));
            }
        }
    }

    fn check_readiness(&self) {
        for life in self.places.iter().flatten() {
            if life.is_over() {
                self.world.book.broken(Rule::Alive, format!("{} ended by itself", life.name));
                continue;
            }
            let report = life.readiness.report();
            if !report.ready {
                let pools: Vec<_> =
                    report.pools.iter().filter(|pool| !pool.consuming || pool.stuck).collect();
                let text = format!("{} is not ready: {:?} {pools:?}", life.name, report.problems);
                self.world.book.broken(Rule::Ready, text);
            }
        }
    }

    /// Ends the schedule with the workers; the last one works off what is there.
    async fn finish(&mut self) {
        for place in 0..self.places.len() {
            if let Some(life) = self.places[place].take() {
                life.drain().await;
            }
        }
        let birth = Birth { number: 1_000_000, knows_fresh: true, ..Birth::default() };
        let last = Life::begin(&self.world, 99, birth);
        if !self.at_rest().await {
            self.world.book.broken(Rule::Ended, "the last worker did not come to an end");
        }
        last.drain().await;
    }

    async fn give_up(&mut self, what: &str) {
        self.world.book.note(|| format!("{what} did not come to rest"));
        for life in self.places.iter_mut().filter_map(Option::take) {
            if life.is_over() {
                self.world.book.broken(Rule::Alive, format!("{} ended by itself", life.name));
            }
            life.kill().await;
        }
    }

    /// Waits until every row is final, every accepted job has one, and the broker is empty; `false` = that did not
    /// happen. What the storm left on its way may still end a worker: it is started anew.
    async fn at_rest(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(500);
        while Instant::now() < deadline {
            if self.world.weather.is_exhausted() {
                let text = format!("{} calls and no end", self.world.weather.calls());
                self.world.book.broken(Rule::Bounded, text);
                return false;
            }
            if is_over(&self.world) {
                return true;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(3));
            let strict = self.world.book.pages().calm.is_some();
            for place in (0..self.places.len()).filter(|_| !strict) {
                if self.places[place].as_ref().is_none_or(Life::is_over) {
                    self.begin_again(place);
                }
            }
        }
        false
    }
}

fn is_over(world: &World) -> bool {
    if world.store.unfinished() > 0 || !world.is_broker_empty() {
        return false;
    }
    let ids: Vec<_> = {
        let pages = world.book.pages();
        pages.jobs.iter().filter(|(_, job)| job.accepted).map(|(id, _)| *id).collect()
    };
    ids.into_iter().all(|id| world.store.state_of(id).is_some_and(State::is_final))
}
