//! The four commands. `up` is safe to repeat and to run from several terminals: one at a time works, servers that
//! answer as ours stay, and records of dead ones are cleared first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use backshift_servers::Service;
use backshift_servers::catalog::{self, ALL};
use backshift_servers::programs;

use super::place::Place;
use super::record::{Engine, Record};
use super::start::{bring_up, stop};
use super::{docker, packages};
use crate::workspace::print_lines;

/// What `up` was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Servers to start; empty = all.
    pub(crate) names: Vec<String>,
    /// Durable settings off: quicker, and refused by the product's boot check.
    pub(crate) fast: bool,
}

const USAGE: &str = "cargo xtask services up [--fast] [NAME…] | down [NAME…] | status | env";

/// Runs `cargo xtask services …`.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let Some((command, rest)) = args.split_first() else { bail!("usage: {USAGE}") };
    let (flags, names): (Vec<String>, Vec<String>) =
        rest.iter().cloned().partition(|arg| arg.starts_with('-'));
    let fast = command == "up" && flags == ["--fast"];
    if !fast && !flags.is_empty() {
        bail!("unknown option {:?}; usage: {USAGE}", flags[0]);
    }
    match command.as_str() {
        "up" => {
            up(root, &Options { names, fast })?;
            print_env(root)
        }
        "down" => down(root, &names),
        "status" => status(root),
        "env" => print_env(root),
        other => bail!("unknown command {other:?}; usage: {USAGE}"),
    }
}

/// Starts what is not up yet and says which servers it started.
pub(crate) fn up(root: &Path, options: &Options) -> Result<Vec<String>> {
    let place = Place::of(root)?;
    let _lock = place.lock()?;
    let mut wanted = Vec::new();
    for service in catalog::select(&options.names)? {
        if !is_up(&place, service, options.fast)? {
            wanted.push(service);
        }
    }
    let started = Instant::now();
    let in_containers = !wanted.is_empty() && docker::is_there();
    install(&wanted, in_containers, options.names.is_empty())?;
    start_all(&place, &wanted, options.fast, in_containers)?;
    write_env(&place)?;
    let names: Vec<String> = wanted.iter().map(|service| service.name().to_owned()).collect();
    if !names.is_empty() {
        eprintln!("{} up after {:.1} s", names.join(", "), started.elapsed().as_secs_f64());
    }
    Ok(names)
}

/// Stops servers that we started (all when no name is given).
pub(crate) fn down(root: &Path, names: &[String]) -> Result<()> {
    let place = Place::of(root)?;
    let _lock = place.lock()?;
    let mut chosen = if names.is_empty() { ALL.to_vec() } else { names_only(names)? };
    // What stands in front of another server goes first.
    chosen.reverse();
    for service in chosen {
        if let Some(record) = Record::load(&place, service.name()) {
            clear(&place, &record)?;
            eprintln!("{} stopped", record.name);
        }
    }
    write_env(&place)
}

fn names_only(names: &[String]) -> Result<Vec<&'static dyn Service>> {
    let chosen = catalog::select(names)?;
    Ok(chosen.into_iter().filter(|service| names.iter().any(|name| name == service.name())).collect())
}

/// Whether the recorded server still answers as ours; clears the record of one that does not.
fn is_up(place: &Place, service: &dyn Service, fast: bool) -> Result<bool> {
    let Some(record) = Record::load(place, service.name()) else { return Ok(false) };
    // Without variables its start was interrupted.
    let mut healthy = !record.variables.is_empty() && record.is_alive() && answers(place, service, &record);
    if let Some(behind) = service.after().and_then(|name| Record::load(place, name)) {
        healthy &= behind.nonce == record.nonce || record.engine == Engine::Docker;
    }
    if !healthy {
        eprintln!("{}: the one of an earlier session is gone, starting afresh", service.name());
        clear(place, &record)?;
        return Ok(false);
    }
    if fast && !record.fast {
        bail!("{} is up without --fast: run `cargo xtask services down {}` first", record.name, record.name);
    }
    Ok(true)
}

/// A busy machine may miss one answer.
fn answers(place: &Place, service: &dyn Service, record: &Record) -> bool {
    let site = record.site(place, service);
    site.is_ok_and(|site| (0..3).any(|_| service.probe(&site).is_ok()))
}

fn clear(place: &Place, record: &Record) -> Result<()> {
    match record.engine {
        Engine::Packages => stop(record)?,
        Engine::Docker => docker::stop(place, &record.name)?,
    }
    let dir = place.run_dir(&record.name);
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("{} cannot be removed", dir.display()))?;
    }
    record.forget(place)
}

/// All at once: one look at the package lists, and without root one text that names everything. Who asks for single
/// servers gets those; who asks for all gets what the tests start beside them, too.
fn install(wanted: &[&'static dyn Service], in_containers: bool, everything: bool) -> Result<()> {
    let servers = installed_here(wanted, in_containers, everything);
    let mut missing: BTreeSet<_> =
        servers.iter().filter(|service| !service.is_installed()).map(|service| service.package()).collect();
    if everything {
        missing.extend(programs::missing_packages());
    }
    packages::install(&missing)?;
    let mut still: Vec<&str> =
        servers.iter().filter(|service| !service.is_installed()).map(|service| service.program()).collect();
    if everything {
        still.extend(programs::missing());
    }
    if still.is_empty() {
        return Ok(());
    }
    bail!("not found although their packages are installed: {}", still.join(", "))
}

/// The servers that must be on this machine itself. Tests start private ones of their own, also where the shared ones run
/// in containers.
fn installed_here<'a>(
    wanted: &'a [&'static dyn Service],
    in_containers: bool,
    everything: bool,
) -> &'a [&'static dyn Service] {
    match (everything, in_containers) {
        (true, _) => ALL,
        (false, true) => &[],
        (false, false) => wanted,
    }
}

/// Independent servers start at the same time, those that need another one after it.
fn start_all(place: &Place, wanted: &[&'static dyn Service], fast: bool, in_containers: bool) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    if in_containers {
        return docker::bring_up(place, wanted, fast);
    }
    let (first, second): (Vec<_>, Vec<_>) = wanted.iter().partition(|service| service.after().is_none());
    for group in [first, second] {
        start_together(place, &group, fast)?;
    }
    Ok(())
}

fn start_together(place: &Place, group: &[&'static dyn Service], fast: bool) -> Result<()> {
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            group.iter().map(|service| scope.spawn(move || bring_up(*service, place, fast))).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|result| result.unwrap_or_else(|_| bail!("a starting thread panicked"))).collect()
    });
    // Every result is looked at: a server that came up is recorded even when its neighbour failed.
    let errors: Vec<String> =
        results.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    if errors.is_empty() { Ok(()) } else { bail!(errors.join("\n")) }
}

fn records(place: &Place) -> Vec<Record> {
    ALL.iter().filter_map(|service| Record::load(place, service.name())).collect()
}

fn write_env(place: &Place) -> Result<()> {
    let file = place.env_file();
    let draft = file.with_extension("draft");
    fs::write(&draft, serde_json::to_vec_pretty(&variables(place))?)
        .and_then(|()| fs::rename(&draft, &file))
        .with_context(|| format!("{} cannot be written", file.display()))
}

/// What the tests are given: the variables of every server of ours that runs.
pub(crate) fn environment(root: &Path) -> Result<BTreeMap<String, String>> {
    Ok(variables(&Place::of(root)?))
}

fn variables(place: &Place) -> BTreeMap<String, String> {
    records(place).into_iter().filter(Record::is_alive).flat_map(|record| record.variables).collect()
}

fn print_env(root: &Path) -> Result<()> {
    print_lines(&environment(root)?.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())
}

fn status(root: &Path) -> Result<()> {
    let place = Place::of(root)?;
    let mut lines = Vec::new();
    for service in ALL {
        let line = match Record::load(&place, service.name()) {
            None => "down".to_owned(),
            Some(record) if !record.is_alive() => "dead (`up` starts it afresh)".to_owned(),
            Some(record) => {
                let pids: Vec<String> =
                    record.processes.iter().map(|process| process.pid.to_string()).collect();
                let state = if answers(&place, *service, &record) {
                    "up"
                } else {
                    "runs, but does not answer as ours"
                };
                format!(
                    "{state:<4} port {} pid {}",
                    record.ports.get("main").copied().unwrap_or_default(),
                    pids.join(" ")
                )
            }
        };
        lines.push(format!("{:<10} {line}", service.name()));
    }
    lines.push("kafka      not yet".to_owned());
    print_lines(&lines)
}

#[cfg(test)]
mod tests {
    use backshift_servers::{Redis, Service};

    use super::{ALL, installed_here};

    #[test]
    fn private_servers_of_tests_are_installed_beside_containers_too() {
        let wanted: &[&'static dyn Service] = &[&Redis];
        let names = |in_containers, everything| {
            installed_here(wanted, in_containers, everything).iter().map(|one| one.name()).collect::<Vec<_>>()
        };
        assert_eq!((names(false, false), names(true, false)), (vec!["redis"], vec![]));
        assert_eq!((names(false, true).len(), names(true, true).len()), (ALL.len(), ALL.len()));
    }
}
