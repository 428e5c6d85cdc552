//! The other way to get the servers: Docker Compose with `deploy/compose.test.yaml`, when an engine runs. Ports,
//! identities and the readiness questions are the same as for packages.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::Result;
use backshift_servers::command::run;
use backshift_servers::{Service, Site, Wishes};

use super::place::Place;
use super::record::{Engine, Record};
use super::start::wait_ready;

/// Whether Compose and a live engine are there. `BACKSHIFT_SERVICES=packages` says no for them.
pub(crate) fn is_there() -> bool {
    if std::env::var("BACKSHIFT_SERVICES").is_ok_and(|choice| choice == "packages") {
        return false;
    }
    let works = |args: &[&str]| run(Command::new("docker").args(args)).is_ok();
    works(&["info"]) && works(&["compose", "version"])
}

/// Starts the containers and waits until each server answers.
pub(crate) fn bring_up(place: &Place, wanted: &[&dyn Service], fast: bool) -> Result<()> {
    let mut records: Vec<Record> = Vec::new();
    let mut command = compose(place);
    command.args(["up", "--detach", "--no-deps"]);
    for service in wanted {
        let dir = place.run_dir(service.name());
        // Its accounts are the container's own: this machine may have none of them.
        let wishes = Wishes { fast, ..Wishes::default() };
        let mut site = Site::new(None, service.ports(), dir, wishes)?;
        if let Some(name) = service.after() {
            let behind = records.iter().find(|other| other.name == name).cloned();
            let behind = behind.or_else(|| Record::load(place, name));
            site.nonce = behind.map_or(site.nonce, |behind| behind.nonce);
        }
        let mut record = Record::new(service.name(), Engine::Docker, &site);
        for (role, port) in &record.ports {
            command.env(variable(&record.name, role), port.to_string());
        }
        command.env(variable(&record.name, "nonce"), &record.nonce);
        command.env(variable(&record.name, "dir"), &site.dir);
        command.arg(service.name());
        record.is_ready(*service, &site)?;
        // Recorded before it answers, so that `down` stops it even when it never does.
        record.save(place)?;
        records.push(record);
    }
    writable_by_containers(place)?;
    command
        .env("DURABLE", if fast { "off" } else { "on" })
        .env("APPENDONLY", if fast { "no" } else { "yes" });
    run(&mut command)?;
    wanted.iter().zip(&records).try_for_each(|(service, record)| wait_ready(place, *service, record))
}

/// Removes one container and its data.
pub(crate) fn stop(place: &Place, name: &str) -> Result<()> {
    run(compose(place).args(["rm", "--stop", "--force", "--volumes", name])).map(drop)
}

/// The one directory that a container (under its own account) shares with us.
fn writable_by_containers(place: &Place) -> Result<()> {
    let mails = place.run_dir("smtp-keep").join("mails");
    fs::create_dir_all(&mails)?;
    Ok(fs::set_permissions(&mails, fs::Permissions::from_mode(0o777))?)
}

/// Compose, in a project of this checkout alone.
fn compose(place: &Place) -> Command {
    let mut hasher = DefaultHasher::new();
    place.root.hash(&mut hasher);
    let mut command = Command::new("docker");
    command.args(["compose", "--project-name", &format!("backshift-test-{:x}", hasher.finish()), "--file"]);
    command.arg(place.root.join("deploy/compose.test.yaml"));
    command
}

/// `rabbitmq4`, `management` → `RABBITMQ4_MANAGEMENT`.
fn variable(name: &str, role: &str) -> String {
    format!("{name}_{role}").to_uppercase().replace('-', "_")
}
