//! Seeded simulation: random delays, failures, lost answers, duplicates, cut connections and killed workers;
//! at the end every job is over, every effect happened exactly once, and nothing is left anywhere.
//!
//! `SEED` in a failure's text replays it: `BACKSHIFT_SIM_SEED=<seed> cargo test -p backshift-runtime simulation`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use backshift_core::{
    Broker, Envelope, JobContext, JobError, JobOptions, Kind, Registry, State, store::Jobs,
};
use backshift_testkit::memory::{Fault, Faults};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::time::{Instant, sleep};

use crate::world::{Live, World, handler, options, queue};

const SEEDS: u64 = 40;
const JOBS: usize = 60;
/// A kind whose effect commits with the completion, and one that has no effect of its own.
const WITH_EFFECT: &str = "effect";
const WITHOUT: &str = "none";
/// How long the world misbehaves, and how long it then has to come to rest.
const STORM: Duration = Duration::from_secs(300);
const CALM: Duration = Duration::from_secs(48 * 3600);

#[test]
fn every_effect_happens_once_and_nothing_is_lost() {
    let wanted = std::env::var("BACKSHIFT_SIM_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let seeds = wanted.map_or(0..SEEDS, |seed| seed..seed + 1);
    for seed in seeds {
        for ledger in [false, true] {
            if let Err(fault) = simulate(seed, ledger) {
                panic!("SEED {seed}, ledger broker {ledger}: {fault}");
            }
        }
    }
}

#[test]
fn a_seed_repeats_its_history() {
    for ledger in [false, true] {
        let history = simulate(3, ledger).unwrap();
        assert_eq!(history, simulate(3, ledger).unwrap(), "ledger broker {ledger}");
        assert_ne!(history, simulate(4, ledger).unwrap());
    }
}

/// How often each job was started, and when everything was over.
type History = (Vec<i64>, Duration);

fn simulate(seed: u64, ledger: bool) -> Result<History, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map_err(|error| error.to_string())?.block_on(run(seed, ledger))
}

async fn run(seed: u64, ledger: bool) -> Result<History, String> {
    let began = Instant::now();
    let mut rng = SmallRng::seed_from_u64(seed);
    let world = World::new();
    let broker: Arc<dyn Broker> = match ledger {
        true => Arc::new(world.store.broker()),
        false => Arc::new(world.broker.clone()),
    };
    misbehave(world.store.faults(), rng.random());
    misbehave(world.broker.faults(), rng.random());
    let jobs = publish_all(&world, &broker, &mut rng).await;
    let registry = unreliable(&world, rng.random());
    let mut lives: Vec<Option<Live>> = (0..3).map(|_| None).collect();
    let (end, mut number) = (Instant::now() + STORM, 0);
    while Instant::now() < end {
        let place = rng.random_range(0..lives.len());
        match lives[place].take() {
            Some(live) if rng.random_bool(0.7) => live.kill().await,
            Some(live) => stop(live).await,
            None => {}
        }
        number += 1;
        lives[place] = Some(start(&world, &broker, &registry, seed, number));
        if rng.random_bool(0.2) {
            world.broker.cut();
        }
        sleep(Duration::from_millis(rng.random_range(100..20_000))).await;
    }
    world.store.faults().heal();
    world.broker.faults().heal();
    let last = start(&world, &broker, &registry, seed, number + 1);
    let verdict = settle_down(&world, &jobs).await;
    let over = began.elapsed();
    last.stop().await;
    for live in lives.into_iter().flatten() {
        stop(live).await;
    }
    verdict.map(|starts| (starts, over))
}

fn start(world: &World, broker: &Arc<dyn Broker>, registry: &Registry, seed: u64, number: u64) -> Live {
    let builder = world.bare(&format!("w{number}")).broker(Arc::clone(broker));
    let options = backshift_runtime::WorkerOptions { seed: Some(seed ^ number), ..options() };
    let builder = builder.store(Arc::new(world.store.clone())).options(options);
    Live::start(builder.registry(registry.clone()).pool(queue(), 5))
}

/// A worker of the storm. It may have ended by itself as stuck: two answers in a row that took 40 s look like that.
async fn stop(live: Live) {
    live.shutdown.quiet();
    let _ = live.end().await;
}

/// One call in seven goes wrong in some way.
fn misbehave(faults: &Faults, seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    faults.plan(move |_| match rng.random_range(0..28) {
        0 => Fault::Before,
        1 => Fault::After,
        2 => Fault::Delay(Duration::from_secs(rng.random_range(0..40))),
        3 => Fault::Delay(Duration::from_millis(rng.random_range(0..500))),
        _ => Fault::None,
    });
}

/// Publishes until each job is accepted; unknown outcomes are repeated under the same id, as a producer must.
async fn publish_all(world: &World, broker: &Arc<dyn Broker>, rng: &mut SmallRng) -> Vec<Envelope> {
    let mut jobs = Vec::with_capacity(JOBS);
    for number in 0..JOBS {
        let envelope = world.envelope(if number % 2 == 0 { WITH_EFFECT } else { WITHOUT });
        while broker.publish(vec![envelope.clone()]).await.remove(0).is_err() {}
        if rng.random_bool(0.1) {
            // A duplicate from the producer.
            let _ = broker.publish(vec![envelope.clone()]).await;
        }
        jobs.push(envelope);
    }
    jobs
}

/// Sometimes slow, sometimes failing, sometimes panicking, before and after the effect.
fn unreliable(world: &World, seed: u64) -> Registry {
    let (store, rng) = (world.store.clone(), Arc::new(Mutex::new(SmallRng::seed_from_u64(seed))));
    let options = JobOptions { max_attempts: Some(1000), ..JobOptions::default() };
    let work = move |context: JobContext| {
        let (dice, time) = {
            let mut rng = rng.lock().unwrap();
            (rng.random_range(0..20), Duration::from_millis(rng.random_range(0..60_000)))
        };
        let store = store.clone();
        async move {
            if dice < 10 {
                sleep(if dice < 3 { time } else { time / 100 }).await;
            }
            match dice {
                10 => return Err(JobError::retry("an error")),
                11 => panic!("a panic"),
                12 => return Err(JobError::snooze(time, "a snooze")),
                _ => {}
            }
            if context.kind().as_str() == WITH_EFFECT {
                store.commit_with_effect(&context, "effect")?;
            }
            match dice {
                13 => Err(JobError::retry("an error after the commit")),
                14 => panic!("a panic after the commit"),
                _ => Ok(()),
            }
        }
    };
    let other = Kind::new(WITHOUT).expect("a legal kind");
    handler(WITH_EFFECT, options.clone(), work.clone()).with_raw(&other, options, work)
}

async fn settle_down(world: &World, jobs: &[Envelope]) -> Result<Vec<i64>, String> {
    let deadline = Instant::now() + CALM;
    let over = || world.store.count(State::Completed) == jobs.len() && world.broker.is_empty(&queue());
    while !over() && Instant::now() < deadline {
        sleep(Duration::from_secs(1)).await;
    }
    let mut starts = Vec::with_capacity(jobs.len());
    for job in jobs {
        let row = world.store.find(job.id).await.map_err(|error| error.to_string())?;
        let state = row.as_ref().map(|row| row.state);
        if state != Some(State::Completed) {
            return Err(format!("job {} is {state:?} and not completed: {row:?}", job.id));
        }
        starts.extend(row.map(|row| row.token.0));
        let effects = world.store.effects_committed().iter().filter(|(id, _)| *id == job.id).count();
        if effects != usize::from(job.kind.as_str() == WITH_EFFECT) {
            return Err(format!("job {} of kind {} had {effects} effects", job.id, job.kind));
        }
    }
    match world.broker.is_empty(&queue()) && world.broker.dead(&queue()).is_empty() {
        true => Ok(starts),
        false => Err("the broker still holds messages".into()),
    }
}
