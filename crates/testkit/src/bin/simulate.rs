//! Simulates many seeds, one with its history, or the planted bugs: `cargo xtask simulate`.
//!
//! Exit code 1 when a rule was broken; each failing seed is printed with the command that replays it.

use std::{io::Write, process::ExitCode};

use backshift_testkit::simulation::{CATALOGUE, Options, Tally, catch, many, simulate};

struct Wish {
    from: u64,
    seeds: u64,
    threads: usize,
    trace: bool,
    planted: bool,
}

fn main() -> ExitCode {
    let wish = match read(std::env::args().skip(1)) {
        Ok(wish) => wish,
        Err(problem) => {
            eprintln!(
                "error: {problem}\nusage: simulate [--seeds N] [--from N] [--threads N] [--trace | --planted]"
            );
            return ExitCode::from(2);
        }
    };
    let good = match (wish.trace, wish.planted) {
        (true, _) => with_history(&wish),
        (_, true) => planted(&wish),
        _ => without(&wish),
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn with_history(wish: &Wish) -> bool {
    let mut good = true;
    for seed in wish.from..wish.from + wish.seeds {
        let outcome = simulate(seed, Options { traced: true, ..Options::default() });
        let mut screen = std::io::stdout().lock();
        for line in &outcome.trace {
            // A reader that went away is not a failure of the seed.
            let _ = writeln!(screen, "{line}");
        }
        for finding in &outcome.findings {
            let _ = writeln!(screen, "SEED {seed} broke {finding}");
        }
        good &= outcome.findings.is_empty();
    }
    good
}

/// The table of the planted bugs: which rule caught each, in which seed.
fn planted(wish: &Wish) -> bool {
    let mut good = true;
    println!("{:<32} {:<14} {:>5} {:>6}  what it said", "planted", "caught by", "seed", "seeds");
    for (planted, rule) in CATALOGUE {
        match catch(*planted, *rule, wish.from, wish.seeds) {
            Ok(caught) => {
                let (seed, seeds, detail) = (caught.seed, caught.seeds, caught.detail);
                println!("{:<32} {:<14} {seed:>5} {seeds:>6}  {detail}", planted.to_string(), rule.name());
            }
            Err(others) => {
                good = false;
                let others: Vec<_> = others.iter().map(|rule| rule.name()).collect();
                println!("{:<32} NOT CAUGHT by {}; broken were {others:?}", planted.to_string(), rule.name());
            }
        }
    }
    good
}

fn without(wish: &Wish) -> bool {
    let shown = std::sync::atomic::AtomicU64::new(0);
    let tally: Tally = many(wish.from, wish.seeds, wish.threads, |done| {
        let before = shown.load(std::sync::atomic::Ordering::Relaxed);
        if done >= before + 500 {
            shown.store(done, std::sync::atomic::Ordering::Relaxed);
            eprintln!("{done} of {} seeds", wish.seeds);
        }
    });
    print!("{tally}");
    tally.is_good()
}

fn read(mut args: impl Iterator<Item = String>) -> Result<Wish, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut wish = Wish { from: 0, seeds: 10_000, threads, trace: false, planted: false };
    while let Some(flag) = args.next() {
        match flag.as_str() {
            "--trace" => wish.trace = true,
            "--planted" => wish.planted = true,
            _ => {}
        }
        if matches!(flag.as_str(), "--trace" | "--planted") {
            continue;
        }
        let text = args.next().ok_or_else(|| format!("{flag} needs a number"))?;
        let number: u64 = text.parse().map_err(|_| format!("{flag} {text}: no number"))?;
        match flag.as_str() {
            "--seeds" => wish.seeds = number,
            "--from" => wish.from = number,
            "--threads" => wish.threads = usize::try_from(number.max(1)).unwrap_or(1),
            _ => return Err(format!("unknown option {flag}")),
        }
    }
    Ok(wish)
}
