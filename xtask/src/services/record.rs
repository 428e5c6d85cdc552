//! What we remember of a server that we started: enough to know it again and to stop it. A server without a record
//! is somebody else's and is never touched.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::place::Place;
use super::process::{Process, boot_id};

/// Who runs the server.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    /// Processes of this machine.
    Packages,
    /// Containers of Docker Compose.
    Docker,
}

/// One server of ours.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) engine: Engine,
    /// The identity that the server itself must state when asked.
    pub(crate) nonce: String,
    pub(crate) boot: String,
    /// Started with `--fast`: durable settings are off.
    pub(crate) fast: bool,
    pub(crate) ports: BTreeMap<String, u16>,
    /// In the order of stopping.
    pub(crate) processes: Vec<Process>,
    pub(crate) variables: BTreeMap<String, String>,
}

impl Record {
    /// The record of `name`, if there is one that can be read.
    pub(crate) fn load(place: &Place, name: &str) -> Option<Self> {
        serde_json::from_slice(&fs::read(place.record_file(name)).ok()?).ok()
    }

    /// Writes it, whole or not at all.
    pub(crate) fn save(&self, place: &Place) -> Result<()> {
        let file = place.record_file(&self.name);
        let draft = file.with_extension("draft");
        fs::write(&draft, serde_json::to_vec_pretty(self)?)
            .and_then(|()| fs::rename(&draft, &file))
            .with_context(|| format!("{} cannot be written", file.display()))
    }

    /// Forgets the server.
    pub(crate) fn forget(&self, place: &Place) -> Result<()> {
        match fs::remove_file(place.record_file(&self.name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).context("the record cannot be removed")
            }
            _ => Ok(()),
        }
    }

    /// Whether all of its processes still run. Containers are asked by their protocol only.
    pub(crate) fn is_alive(&self) -> bool {
        match self.engine {
            Engine::Docker => true,
            Engine::Packages => {
                self.boot == boot_id()
                    && !self.processes.is_empty()
                    && self.processes.iter().all(Process::is_alive)
            }
        }
    }

    /// The port with that role. A record without it was written by another version of this tool.
    pub(crate) fn port(&self, role: &str) -> Result<u16> {
        let found = self.ports.get(role).copied();
        found.with_context(|| {
            format!("the record of {} has no {role} port: run `cargo xtask services down`", self.name)
        })
    }
}
