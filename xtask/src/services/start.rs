//! How a server is brought up: fresh data, private ports, started, then asked until it answers as the server we started.
//! A failed start is repeated once with other ports.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use backshift_servers::{Launch, Service, Signal, Site, Wishes};

use super::place::Place;
use super::process::{Process, boot_id};
use super::record::{Engine, Record};

/// How long a server may take to answer. Generous: builds run on the same two cores.
const READY_LIMIT: Duration = Duration::from_secs(90);

/// Starts one server and waits until it answers.
pub(crate) fn bring_up(service: &dyn Service, place: &Place, fast: bool) -> Result<()> {
    let Err(error) = attempt(service, place, fast) else { return Ok(()) };
    eprintln!("{}: {error:#}\n{}: trying once more on other ports", service.name(), service.name());
    attempt(service, place, fast)
}

fn attempt(service: &dyn Service, place: &Place, fast: bool) -> Result<()> {
    let dir = place.run_dir(service.name());
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("{} cannot be emptied", dir.display()))?;
    }
    let mut site = service.site(dir, Wishes { fast, ..Wishes::default() })?;
    site.cache = Some(place.cache_dir());
    if let Some(name) = service.after() {
        let behind =
            Record::load(place, name).with_context(|| format!("{} needs our {name}", service.name()))?;
        (site.behind, site.nonce) = (behind.ports.get("main").copied(), behind.nonce);
    }
    let mut record = Record::new(service.name(), Engine::Packages, &site);
    if let Err(error) = start_and_wait(service, place, &site, &mut record) {
        stop(&record)?;
        record.forget(place)?;
        let log = site.end_of_log();
        return Err(error.context(format!("{} did not start; its log ends:\n{log}", service.name())));
    }
    record.save(place)
}

fn start_and_wait(service: &dyn Service, place: &Place, site: &Site, record: &mut Record) -> Result<()> {
    site.make_dir("")?;
    service.prepare(site)?;
    if let Some(companion) = service.companion(site)? {
        launch(companion, place, site, record)?;
    }
    launch(service.launch(site)?, place, site, record)?;
    wait_ready(place, service, record)?;
    if let Some(pid) = service.node(site) {
        let node = Process::of(pid, Signal::Term).context("the node ended")?;
        record.processes.insert(0, node);
    }
    record.is_ready(service, site)
}

/// Starts a process and records it at once, last started first stopped: were we interrupted now, the next `up` or `down`
/// would still know it.
fn launch(launch: Launch, place: &Place, site: &Site, record: &mut Record) -> Result<()> {
    record.processes.insert(0, Process::start(launch, site)?);
    record.save(place)
}

/// Asks until the server answers, dies or the limit is over.
pub(super) fn wait_ready(place: &Place, service: &dyn Service, record: &Record) -> Result<()> {
    let deadline = Instant::now() + READY_LIMIT;
    let site = record.site(place, service)?;
    loop {
        let Err(error) = service.probe(&site) else { return Ok(()) };
        if !record.is_alive() {
            bail!("{} ended before it answered", record.name);
        }
        if Instant::now() > deadline {
            let seconds = READY_LIMIT.as_secs();
            return Err(error.context(format!("{} gave no answer for {seconds} s", record.name)));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Stops the processes of a record, and whatever they left in their sessions.
pub(super) fn stop(record: &Record) -> Result<()> {
    if record.boot != boot_id() {
        return Ok(());
    }
    for process in &record.processes {
        let ours = process.is_alive();
        process.stop()?;
        if ours {
            process.kill_session()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::process::tests::{sleeper, whereabouts};
    use super::{Engine, Process, Record, boot_id, stop};

    #[test]
    fn a_record_of_another_boot_stops_nobody() {
        let site = whereabouts("boot");
        let mut record = Record::new("sleeper", Engine::Packages, &site);
        record.boot = "an earlier boot".to_owned();
        record.processes.push(Process::start(sleeper(), &site).unwrap());
        assert!(!record.is_alive());
        stop(&record).unwrap();
        assert!(record.processes[0].is_alive(), "a process of this boot was stopped by a record of another");

        record.boot = boot_id();
        assert!(record.is_alive());
        stop(&record).unwrap();
        assert!(!record.is_alive());
        std::fs::remove_dir_all(&site.dir).unwrap();
    }
}
