//! The fault runner as a command, built and called by `cargo xtask survive`.
//!
//! It takes the binary's path and never builds anything; what it starts, it ends.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use backshift_testkit::survival::{
    Fault, Ground, Plan, Point, Probes, Recovery, Stage, Survival, Times, WorkerProgram,
};

const USAGE: &str = "\
survive --binary PATH [--broker embedded|postgres|rabbitmq|all] [--jobs 100000] [--kills 20] [--server-kills 3]
        [--seed N] [--workers 3] [--slots 64] [--points N] [--network N] [--reports DIRECTORY]
survive recovery --binary PATH [--broker …] [--trials 100] [--server-trials 15] [--reports DIRECTORY]";

/// What the command line says.
struct Order {
    recovery: bool,
    binary: PathBuf,
    grounds: Vec<Ground>,
    jobs: u64,
    kills: usize,
    server_kills: usize,
    seed: u64,
    workers: usize,
    slots: usize,
    points: usize,
    network: usize,
    trials: usize,
    server_trials: usize,
    reports: PathBuf,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            recovery: false,
            binary: PathBuf::new(),
            grounds: Ground::ALL.to_vec(),
            jobs: 100_000,
            kills: 20,
            server_kills: 3,
            seed: 1,
            workers: 3,
            slots: 64,
            points: 0,
            network: 0,
            trials: 100,
            server_trials: 15,
            reports: PathBuf::from("target/survival"),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let order = match read(std::env::args().skip(1)) {
        Ok(order) => order,
        Err(error) => {
            eprintln!("error: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let done = tokio::select! {
        done = carry_out(&order) => done,
        // What was started ends with its values.
        _ = tokio::signal::ctrl_c() => Err(io::Error::other("interrupted")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(order: &Order) -> io::Result<bool> {
    let mut good = true;
    for ground in &order.grounds {
        good &= match order.recovery {
            true => recovery(order, *ground).await?,
            false => survival(order, *ground).await?,
        };
    }
    Ok(good)
}

async fn survival(order: &Order, ground: Ground) -> io::Result<bool> {
    let program = WorkerProgram::backshift(&order.binary, order.slots);
    let stage = Stage::open(ground).await?;
    let mut run = Survival::new(stage, program, Probes::new(&order.binary)).jobs(order.jobs);
    run = run.workers(order.workers).plan(plan(order, ground));
    if order.points + order.network > 0 {
        run = run.proxied();
    }
    let report = run.run().await?;
    println!("{report}");
    report.write(&order.reports.join(format!("{ground}.json")))?;
    Ok(report.holds())
}

fn plan(order: &Order, ground: Ground) -> Plan {
    let down = Duration::from_secs(1);
    let plan = Plan::seeded(order.seed).with(order.kills, Fault::KillWorker);
    if ground.servers.is_empty() {
        // No server to kill and no network: everything dies at once instead.
        return plan.with(order.server_kills, Fault::KillAllWorkers);
    }
    let plan = plan.with(order.server_kills, Fault::KillServer(down));
    let held = |plan: Plan, point: &Point| plan.with(order.points, Fault::KillWorkerAt(*point));
    let plan = ground.points.iter().fold(plan, held);
    let network = [Fault::Cut, Fault::HalfOpen(down * 2), Fault::Slow(down)];
    network.into_iter().fold(plan, |plan, fault| plan.with(order.network, fault))
}

/// The goals: 2 s after a killed worker, 5 s after a killed server.
async fn recovery(order: &Order, ground: Ground) -> io::Result<bool> {
    let program = WorkerProgram::backshift(&order.binary, order.slots);
    let stage = Stage::open(ground).await?;
    let mut trials = Recovery::new(stage, program, Probes::new(&order.binary)).await?;
    let mut all = Vec::new();
    if order.trials > 0 {
        all.push((trials.killed_worker(order.trials, 8).await?, 2.0));
        println!("{}", all[0].0);
    }
    let servers = if order.server_trials == 0 { 0 } else { ground.servers.len() };
    for server in 0..servers {
        let down = [1, 5, 15].map(Duration::from_secs);
        let times = trials.killed_server(server, order.server_trials, &down).await?;
        println!("{times}");
        all.push((times, 5.0));
    }
    let times: Vec<&Times> = all.iter().map(|(times, _)| times).collect();
    write(&order.reports.join(format!("{ground}-recovery.json")), &serde_json::to_vec_pretty(&times)?)?;
    Ok(all.iter().all(|(times, goal)| times.percentile(0.99) <= *goal))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(path, bytes)
}

fn read(arguments: impl Iterator<Item = String>) -> Result<Order, String> {
    let mut order = Order::default();
    let mut arguments = arguments.peekable();
    if arguments.peek().is_some_and(|word| word == "recovery") {
        order.recovery = true;
        arguments.next();
    }
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{flag} {value:?} is no number"));
        let count = || number().map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        match flag.as_str() {
            "--binary" => order.binary = PathBuf::from(&value),
            "--broker" if value == "all" => order.grounds = Ground::ALL.to_vec(),
            "--broker" => order.grounds = vec![value.parse().map_err(|error: io::Error| error.to_string())?],
            "--jobs" => order.jobs = number()?,
            "--kills" => order.kills = count()?,
            "--server-kills" => order.server_kills = count()?,
            "--seed" => order.seed = number()?,
            "--workers" => order.workers = count()?,
            "--slots" => order.slots = count()?,
            "--points" => order.points = count()?,
            "--network" => order.network = count()?,
            "--trials" => order.trials = count()?,
            "--server-trials" => order.server_trials = count()?,
            "--reports" => order.reports = PathBuf::from(&value),
            _ => return Err(format!("unknown flag {flag}")),
        }
    }
    match order.binary.is_file() {
        true => Ok(order),
        false => Err(format!("--binary {:?} is no file", order.binary)),
    }
}
