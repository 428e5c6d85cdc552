//! Which kinds a process can do: what is configured decides what is registered.
//!
//! A kind that is not registered is parked by the engine and not failed, so that another worker can do it.

use std::{path::Path, sync::Arc};

use backshift_core::Registry;
use backshift_mail::Templates;
use backshift_workers::{
    identity::{CodeRoute, CodeSender},
    mail::{self, MailOptions, MailWorker},
    probe::{ProbeEffects, ProbeLog, ProbeWorker},
};

use super::{Backend, Keys};
use crate::{config::Config, exit::Failure};

/// What a process has to do jobs with.
#[derive(Default)]
pub(crate) struct Equipment {
    /// Sends mails.
    pub(crate) mail: Option<Arc<MailWorker>>,
    /// Derives codes.
    pub(crate) keys: Option<Keys>,
    /// Only the mails with codes, for the API.
    pub(crate) codes_only: bool,
}

/// The handlers of this process.
pub(crate) fn registry(
    config: &Config,
    backend: &Backend,
    equipment: &Equipment,
) -> Result<Registry, Failure> {
    let mut registry = Registry::default();
    if let Some(sender) = code_sender(config, backend, equipment)? {
        registry = sender.register(registry);
    }
    if equipment.codes_only {
        return Ok(registry);
    }
    if let Some(worker) = &equipment.mail {
        registry = mail::register(registry, Arc::clone(worker));
    }
    if config.switch("probe") {
        registry = ProbeWorker::new(probe_effects(config, backend)?).register(registry);
    }
    Ok(registry)
}

/// Codes go to the exchange when a broker is configured that carries it, as the seed draws it, else straight to the mail server.
fn code_sender(
    config: &Config,
    backend: &Backend,
    equipment: &Equipment,
) -> Result<Option<CodeSender>, Failure> {
    let (Some(keys), Some(store)) = (&equipment.keys, &backend.store) else { return Ok(None) };
    let (route, options) = match (backend.bound(mail::QUEUE_OF_SYSTEM_C), &equipment.mail) {
        (Some(foreign), _) => {
            (CodeRoute::SystemC(Arc::clone(&foreign.broker)), MailOptions::default().job_options())
        }
        (None, Some(worker)) => (CodeRoute::Direct(Arc::clone(worker)), worker.options.job_options()),
        (None, None) => return Ok(None),
    };
    let templates = Arc::new(Templates::shipped());
    let sender = CodeSender::new(store.database().clone(), keys.code.clone(), templates, route, options);
    Ok(Some(sender.with_app_name(app_name(config)?)))
}

/// The product's name, as people read it in mails.
fn app_name(config: &Config) -> Result<String, Failure> {
    let name = config.text("app.name").trim();
    match name.is_empty() || name.chars().count() > 60 || name.chars().any(char::is_control) {
        true => Err(Failure::configuration(format!(
            "{}: it stands in the subject of mails: write 1 to 60 characters on one line",
            config.told("app.name")
        ))),
        false => Ok(name.to_owned()),
    }
}

fn probe_effects(config: &Config, backend: &Backend) -> Result<ProbeEffects, Failure> {
    match (&backend.store, config.some("probe_log")) {
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
