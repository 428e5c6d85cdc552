//! The other way to get the servers: Docker Compose with `deploy/compose.test.yaml`, when an engine runs. The ports
//! and the readiness questions are the same as for packages.

use std::process::Command;

use anyhow::Result;

use super::place::Place;
use super::ports::Ports;
use super::record::{Engine, Record};
use super::start::{Service, blank, wait_ready};
use crate::workspace::run;

const PROJECT: &str = "backshift-test";

/// Whether Compose and a live engine are there. `BACKSHIFT_SERVICES=packages` says no for them.
pub(crate) fn is_there() -> bool {
    if std::env::var("BACKSHIFT_SERVICES").is_ok_and(|choice| choice == "packages") {
        return false;
    }
    let works = |args: &[&str]| run(Command::new("docker").args(args)).is_ok();
    works(&["info"]) && works(&["compose", "version"])
}

/// Starts the containers and waits until each server answers.
pub(crate) fn bring_up(place: &Place, wanted: &[&dyn Service], ports: &Ports, fast: bool) -> Result<()> {
    let mut records = Vec::new();
    let mut command = compose(place);
    command.args(["up", "-d", "--no-deps"]);
    for service in wanted {
        let mut record = blank(*service, Engine::Docker, ports, fast)?;
        if let Some(behind) = service.after() {
            let earlier = records.iter().find(|other: &&Record| other.name == behind).cloned();
            record.nonce = earlier.or_else(|| Record::load(place, behind)).map_or(record.nonce, |other| other.nonce);
        }
        for (role, port) in &record.ports {
            command.env(variable(&record.name, role), port.to_string());
        }
        command.env(variable(&record.name, "nonce"), &record.nonce);
        command.arg(service.name());
        records.push(record);
    }
    command.env("POSTGRES_DURABLE", if fast { "off" } else { "on" });
    run(&mut command)?;
    for (service, mut record) in wanted.iter().zip(records) {
        let variables = service.variables(&record)?;
        record.variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        // Recorded before it answers, so that `down` stops it even when it never does.
        record.save(place)?;
        wait_ready(*service, &record)?;
    }
    Ok(())
}

/// Removes one container and its data.
pub(crate) fn stop(place: &Place, name: &str) -> Result<()> {
    run(compose(place).args(["rm", "--stop", "--force", "--volumes", name])).map(drop)
}

fn compose(place: &Place) -> Command {
    let mut command = Command::new("docker");
    command.args(["compose", "--project-name", PROJECT, "--file"]);
    command.arg(place.root.join("deploy/compose.test.yaml"));
    command
}

/// `rabbitmq4`, `management` → `RABBITMQ4_MANAGEMENT`.
fn variable(name: &str, role: &str) -> String {
    format!("{name}_{role}").to_uppercase().replace('-', "_")
}
