//! What we remember of a server that we started: enough to know it again and to stop it. A server without a record
//! is somebody else's and is never touched.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use anyhow::{Context, Result};
use backshift_servers::account::Account;
use backshift_servers::{Service, Site, Wishes};
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
    /// A server without processes yet.
    pub(crate) fn new(name: &str, engine: Engine, site: &Site) -> Self {
        Self {
            name: name.to_owned(),
            engine,
            nonce: site.nonce.clone(),
            boot: boot_id(),
            fast: site.wishes.fast,
            ports: site.ports.clone(),
            processes: Vec::new(),
            variables: BTreeMap::new(),
        }
    }

    /// Where the server lives.
    pub(crate) fn site(&self, place: &Place, service: &dyn Service) -> Result<Site> {
        let account = match self.engine {
            Engine::Packages => Account::named(service.account())?,
            // The container has accounts of its own.
            Engine::Docker => None,
        };
        let behind = service.after().and_then(|name| Record::load(place, name));
        Ok(Site {
            dir: place.run_dir(&self.name),
            account,
            ports: self.ports.clone(),
            nonce: self.nonce.clone(),
            wishes: Wishes { fast: self.fast, ..Wishes::default() },
            behind: behind.and_then(|behind| behind.ports.get("main").copied()),
            cache: Some(place.cache_dir()),
            pid: self.processes.first().map(|process| process.pid),
        })
    }

    /// What the tests are told from now on.
    pub(crate) fn is_ready(&mut self, service: &dyn Service, site: &Site) -> Result<()> {
        let variables = service.variables(site)?;
        self.variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(())
    }

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
}

#[cfg(test)]
mod tests {
    use backshift_servers::catalog;

    use super::{Engine, Place, Record};
    use crate::services::process::tests::whereabouts;

    /// A machine that has Docker need not have the accounts that packages make.
    #[test]
    fn a_container_is_known_again_whatever_accounts_this_machine_has() {
        let mut site = whereabouts("container");
        let place = Place::of(&site.dir).unwrap();
        for service in catalog::ALL {
            site.ports = service.ports().iter().zip(20_001..).map(|(role, n)| ((*role).into(), n)).collect();
            let mut record = Record::new(service.name(), Engine::Docker, &site);
            record.is_ready(*service, &site).unwrap();
            assert!(!record.variables.is_empty());
            record.save(&place).unwrap();
            let known = Record::load(&place, service.name()).unwrap().site(&place, *service).unwrap();
            assert_eq!((known.ports, known.nonce, known.pid), (site.ports.clone(), site.nonce.clone(), None));
            assert!(known.account.is_none());
        }
        std::fs::remove_dir_all(&site.dir).unwrap();
    }
}
