//! What every kind of server has in common, and how one is brought up: fresh data, private ports, started, then asked
//! until it answers as the server we started. A failed start is repeated once with other ports.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::account::Account;
use super::place::Place;
use super::ports::{Ports, nonce};
use super::process::{Launch, boot_id};
use super::record::{Engine, Record};
use crate::workspace::last_lines;

/// How long a server may take to answer. Generous: builds run on the same two cores.
pub(super) const READY_LIMIT: Duration = Duration::from_secs(90);

/// One kind of server. A new one is a new file that implements this, and a line in `catalog.rs`.
pub(crate) trait Service: Sync {
    /// Its name on the command line, of its directory and its Compose service.
    fn name(&self) -> &'static str;

    /// A server that must be up before this one starts.
    fn after(&self) -> Option<&'static str> {
        None
    }

    /// Debian packages to install before `start`; empty when everything is there.
    fn missing_packages(&self) -> Vec<&'static str>;

    /// Roles of the ports it needs; `main` is the one clients use.
    fn ports(&self) -> &'static [&'static str] {
        &["main"]
    }

    /// The account to run under when we are root.
    fn account(&self) -> &'static str {
        "nobody"
    }

    /// Prepares its data and starts its processes, pushing each into `site.record.processes`.
    fn start(&self, site: &mut Site<'_>) -> Result<()>;

    /// What can only be known once it answers (a pid file, say).
    fn settle(&self, _site: &mut Site<'_>) -> Result<()> {
        Ok(())
    }

    /// Succeeds only if it answers in its protocol and says it is the server of this record.
    fn probe(&self, record: &Record) -> Result<()>;

    /// `BACKSHIFT_TEST_*` variables for the tests; `dir` is its private directory.
    fn variables(&self, record: &Record, dir: &Path) -> Result<Vec<(&'static str, String)>>;
}

/// The place where one server is being started.
pub(crate) struct Site<'a> {
    pub(crate) place: &'a Place,
    /// Its private, empty directory, owned by `account`.
    pub(crate) dir: PathBuf,
    pub(crate) account: Option<Account>,
    pub(crate) record: Record,
}

impl Site<'_> {
    /// Starts a process in the private directory and records it at once: were we interrupted now, the next `up` or
    /// `down` would still know it.
    pub(crate) fn launch(
        &mut self,
        program: &Path,
        args: Vec<String>,
        envs: Vec<(String, String)>,
        signal: &str,
    ) -> Result<()> {
        let launch = Launch { program, args, envs, dir: &self.dir, account: self.account, signal };
        self.record.processes.push(launch.spawn()?);
        self.record.save(self.place)
    }

    /// Writes a file that the server's account may read.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.dir.join(name);
        Account::write(self.account, &file, text)?;
        Ok(file)
    }
}

/// Starts one server and waits until it answers.
pub(crate) fn bring_up(service: &dyn Service, place: &Place, ports: &Ports, fast: bool) -> Result<Record> {
    let first = attempt(service, place, ports, fast);
    let Err(error) = first else { return first };
    eprintln!("{}: {error:#}\n{}: trying once more on other ports", service.name(), service.name());
    attempt(service, place, ports, fast)
}

fn attempt(service: &dyn Service, place: &Place, ports: &Ports, fast: bool) -> Result<Record> {
    let record = blank(service, Engine::Packages, ports, fast)?;
    let dir = place.run_dir(service.name());
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("{} cannot be emptied", dir.display()))?;
    }
    let account = Account::named(service.account())?;
    Account::own_dir(account, &dir)?;
    let mut site = Site { place, dir, account, record };
    let ready = start_and_wait(service, &mut site);
    if let Err(error) = ready {
        stop(&site.record)?;
        site.record.forget(place)?;
        let log = fs::read_to_string(site.dir.join("log")).unwrap_or_default();
        return Err(error.context(format!(
            "{} did not start; its log ends:\n{}",
            service.name(),
            last_lines(&log, 15)
        )));
    }
    site.record.save(place)?;
    Ok(site.record)
}

fn start_and_wait(service: &dyn Service, site: &mut Site<'_>) -> Result<()> {
    service.start(site)?;
    wait_ready(service, &site.record)?;
    service.settle(site)?;
    let variables = service.variables(&site.record, &site.dir)?;
    site.record.variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Ok(())
}

/// A record with an identity and ports but no processes yet.
pub(super) fn blank(service: &dyn Service, engine: Engine, ports: &Ports, fast: bool) -> Result<Record> {
    let drawn =
        service.ports().iter().map(|role| Ok(((*role).to_owned(), ports.draw()?))).collect::<Result<_>>()?;
    Ok(Record {
        name: service.name().to_owned(),
        engine,
        nonce: nonce()?,
        boot: boot_id(),
        fast,
        ports: drawn,
        processes: Vec::new(),
        variables: std::collections::BTreeMap::new(),
    })
}

/// Asks until the server answers, dies or the limit is over.
pub(super) fn wait_ready(service: &dyn Service, record: &Record) -> Result<()> {
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        let Err(error) = service.probe(record) else { return Ok(()) };
        if !record.is_alive() {
            bail!("{} ended before it answered", record.name);
        }
        if Instant::now() > deadline {
            return Err(error.context(format!(
                "{} gave no answer for {} s",
                record.name,
                READY_LIMIT.as_secs()
            )));
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
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::{Engine, Launch, Record, boot_id, stop};

    #[test]
    fn a_record_of_another_boot_stops_nobody() {
        let dir = std::env::temp_dir().join(format!("backshift-xtask-boot-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let program = Path::new("sleep");
        let args = vec!["600".to_owned()];
        let launch = Launch { program, args, envs: Vec::new(), dir: &dir, account: None, signal: "TERM" };
        let mut record = Record {
            name: "sleeper".to_owned(),
            engine: Engine::Packages,
            nonce: String::new(),
            boot: "an earlier boot".to_owned(),
            fast: false,
            ports: BTreeMap::new(),
            processes: vec![launch.spawn().unwrap()],
            variables: BTreeMap::new(),
        };
        assert!(!record.is_alive());
        stop(&record).unwrap();
        assert!(record.processes[0].is_alive(), "a process of this boot was stopped by a record of another");

        record.boot = boot_id();
        assert!(record.is_alive());
        stop(&record).unwrap();
        assert!(!record.is_alive());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
