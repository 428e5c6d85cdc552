//! The probe: a kind for checks from outside (docs/contracts/probe.md), where it is switched on.

use std::path::Path;

use backshift_domains::probe::{KIND, ProbeEffects, ProbeLog, ProbeWorker, TABLES};

use super::{Domain, Equipment, WorkedBy};
use crate::{
    config::{Form, Key, Setting, Text, set, settings},
    exit::Failure,
};

settings! {
    SETTINGS
    PROBE: bool = set("probe", &[], "false", Form::Switch, "Adds the kind backshift.probe and its tables, for checks from outside.");
    PROBE_LOG: Text = set("probe_log", &[], "", Form::Text, "Where the probe writes its effects when the worker has no store.");
}

pub(super) const DOMAIN: Domain = Domain {
    settings: SETTINGS,
    handlers: |equipment, registry| match equipment.config.get(&PROBE) {
        true => Ok(ProbeWorker::new(effects(equipment)?).register(registry)),
        false => Ok(registry),
    },
    tables: Some(&TABLES),
    is_on: |config, _| config.get(&PROBE),
    kinds: |config| vec![(KIND, if config.get(&PROBE) { WorkedBy::Worker } else { WorkedBy::Nobody })],
    ..Domain::EMPTY
};

fn effects(equipment: &Equipment<'_>) -> Result<ProbeEffects, Failure> {
    match (&equipment.backend.store, equipment.config.some(&PROBE_LOG)) {
        (Some(store), _) => Ok(ProbeEffects::Store(store.database().clone())),
        (None, Some(path)) => ProbeLog::open(Path::new(path))
            .map(ProbeEffects::File)
            .map_err(|error| Failure::configuration(format!("probe_log {path}: {error}"))),
        (None, None) => {
            tracing::warn!("probes leave no trace: there is no store, and BACKSHIFT_PROBE_LOG is not set");
            Ok(ProbeEffects::Nowhere)
        }
    }
}
