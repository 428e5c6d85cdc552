//! One seed from beginning to end.

use backshift_runtime::planted::plant;
use rand::{SeedableRng, rngs::SmallRng};

use super::{
    book::Book, plan::Plan, planted::Planted, producer::Producer, rules::Finding, storm::Fleet, verdict,
    world::World,
};

/// How a seed is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Something wrong on purpose.
    pub planted: Option<Planted>,
    /// Keep the history.
    pub traced: bool,
}

/// What came out of a seed.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Every broken rule, in the order in which it was noticed.
    pub findings: Vec<Finding>,
    /// What happened, when it was asked for.
    pub trace: Vec<String>,
    /// How many calls brokers and stores got.
    pub calls: u64,
    /// Jobs that were accepted.
    pub jobs: usize,
    /// Starts of handlers.
    pub starts: usize,
}

/// Runs one seed. The same seed has the same history, in every process.
///
/// # Panics
/// When the clock of the simulation cannot be made, or a bug of the engine is to be planted into a build that cannot
/// have one.
pub fn simulate(seed: u64, options: Options) -> Outcome {
    let bug = match options.planted {
        Some(Planted::Engine(bug)) => Some(bug),
        _ => None,
    };
    let able = plant(bug);
    assert!(able || bug.is_none(), "bugs are planted in debug builds only");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let outcome = runtime.expect("a runtime with a paused clock can be made").block_on(run(seed, options));
    plant(None);
    outcome
}

async fn run(seed: u64, options: Options) -> Outcome {
    let mut rng = SmallRng::seed_from_u64(seed);
    let plan = Plan::draw(&mut rng);
    let book = Book::open(options.traced, plan.lease);
    let world = World::new(seed, plan, options.planted, book.clone());
    book.note(|| format!("seed {seed}: {:?}", world.plan));
    world.register().await;
    let producers =
        [tokio::spawn(Producer::new(&world, 1).storm()), tokio::spawn(Producer::new(&world, 2).rivals(8))];
    let mut fleet = Fleet::new(&world);
    fleet.storm().await;
    fleet.calm_after(producers).await;
    verdict::judge(&world);
    let (jobs, starts) = {
        let pages = book.pages();
        let accepted = pages.jobs.values().filter(|job| job.accepted).count();
        (accepted, pages.starts.values().map(std::collections::BTreeMap::len).sum())
    };
    Outcome {
        seed,
        findings: book.findings(),
        trace: book.trace(),
        calls: world.weather.calls(),
        jobs,
        starts,
    }
}
