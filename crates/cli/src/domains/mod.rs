//! The domains that this binary runs. A new one is its folder among `backshift-domains`, its file here and its line in
//! [`ALL`].
//!
//! Mail is the floor that others stand on: what sends mails is made first and handed to every domain in [`Equipment`].

pub(crate) mod demo;
pub(crate) mod identity;
pub(crate) mod mail;
mod probe;

use std::sync::Arc;

use axum::Router;
use backshift_core::{Kind, Registry, broker::Binding, store::Retention};
use backshift_http::pages::{OwnKinds, Section};
use backshift_runtime::Shutdown;
use backshift_store::{Database, migrate::Line};
use futures::future::{BoxFuture, try_join_all};

use crate::{
    config::{Config, Key, Setting, keys},
    exit::Failure,
    finding::Finding,
    sources::Source,
    wiring::{Backend, Foreign},
};

/// Every domain, in the order of their settings and of their rooms.
const ALL: &[&Domain] = &[&mail::DOMAIN, &identity::DOMAIN, &probe::DOMAIN, &demo::DOMAIN];

/// One domain. What it has not is as in [`Domain::EMPTY`].
struct Domain {
    settings: &'static [Setting],
    /// Its settings that are each allowed and contradict each other; one text a cause.
    contradictions: fn(&Config) -> Vec<String>,
    /// What a process that serves it says at start about choices that are weaker than the default.
    remarks: fn(&Config) -> Vec<String>,
    /// What `doctor` says of its settings.
    configured: fn(&Config) -> Result<Option<String>, Failure>,
    /// What `doctor` finds of its servers.
    look: for<'a> fn(&'a Config) -> BoxFuture<'a, Vec<Finding>>,
    /// Queues of the store that a worker works unasked.
    queues: &'static [&'static str],
    /// Queues of peers, which it binds to a broker that has them.
    peers: &'static [&'static str],
    /// The queue in which a kind of its stands unless the producer says otherwise; the broker is the command's own, when it is
    /// a foreign one. A kind that may have to wait for a server of its own has a queue of its own, so that nobody waits with it.
    queue_of: fn(&Kind, Option<&Foreign>) -> Option<&'static str>,
    /// Its kinds, each with the command of ours that works it with this configuration.
    kinds: fn(&Config) -> Vec<(&'static str, WorkedBy)>,
    /// The setting with the attempts of a kind of its that has a number of its own.
    attempts_of: fn(&Kind) -> Option<&'static Key<u32>>,
    /// Queues of peers that it binds to this broker.
    bindings: fn(&Config, &Source) -> Result<Vec<Bound>, Failure>,
    /// Its handlers, as far as this process has what they need.
    handlers: fn(&Equipment<'_>, Registry) -> Result<Registry, Failure>,
    /// Its tables.
    tables: Option<&'static Line>,
    /// Whether a process of this role with these settings needs them.
    is_on: fn(&Config, Role) -> bool,
    /// What a worker that does its jobs deletes for it when its time is over.
    retention: fn(&Config, &Database) -> Option<Arc<dyn Retention>>,
    /// What it shows: called once in a process that shows it.
    faces: fn(&Equipment<'_>) -> Result<Faces, Failure>,
    /// What an API does for it besides answering, until the shutdown begins; `None` = nothing.
    beside_api: fn(&Config, &Backend, &Shutdown) -> Option<Beside>,
}

type Beside = BoxFuture<'static, Result<(), Failure>>;

impl Domain {
    const EMPTY: Self = Self {
        settings: &[],
        contradictions: |_| Vec::new(),
        remarks: |_| Vec::new(),
        configured: |_| Ok(None),
        look: |_| Box::pin(async { Vec::new() }),
        queues: &[],
        peers: &[],
        queue_of: |_, _| None,
        kinds: |_| Vec::new(),
        attempts_of: |_| None,
        bindings: |_, _| Ok(Vec::new()),
        handlers: |_, registry| Ok(registry),
        tables: None,
        is_on: |_, _| false,
        retention: |_, _| None,
        faces: |_| Ok(Faces::default()),
        beside_api: |_, _, _| None,
    };
}

/// Which command of this binary works a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkedBy {
    /// `backshift worker`, and `dev`.
    Worker,
    /// `backshift dev` alone.
    Dev,
    /// None as it is configured.
    Nobody,
}

/// Whether the store is a server's. Whoever asks there need not have the mail server's settings in his terminal: the workers of
/// that site have them.
fn is_site(config: &Config) -> bool {
    config.some(&keys::DATABASE_URL).is_some_and(|url| !url.starts_with("sqlite:"))
}

/// A queue of peers, and how many of its jobs a worker that nobody told otherwise runs at once.
pub(crate) struct Bound {
    pub(crate) binding: Binding,
    pub(crate) slots: usize,
}

/// Where a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// On the machine of whoever tries it: keys are made, and loopback is nobody's network.
    Dev,
    /// In production.
    Site,
}

/// What a process has, for the domains in it.
pub(crate) struct Equipment<'a> {
    pub(crate) config: &'a Config,
    pub(crate) backend: &'a Backend,
    pub(crate) role: Role,
    /// What sends mails, where something does.
    pub(crate) post: Option<mail::Post>,
}

/// What domains show.
#[derive(Default)]
pub(crate) struct Faces {
    /// Routes of the API.
    pub(crate) routes: Router,
    /// Pages.
    pub(crate) sections: Vec<Arc<dyn Section>>,
}

/// The settings of each, in the order of the commented file.
pub(crate) fn settings() -> impl Iterator<Item = &'static [Setting]> {
    ALL.iter().map(|domain| domain.settings)
}

/// What contradicts what in them.
pub(crate) fn contradictions(config: &Config) -> Vec<String> {
    ALL.iter().flat_map(|domain| (domain.contradictions)(config)).collect()
}

/// Says at start what was chosen and is weaker than the default.
pub(crate) fn warn_of_choices(config: &Config) {
    ALL.iter().flat_map(|domain| (domain.remarks)(config)).for_each(|remark| tracing::warn!("{remark}"));
}

/// What `doctor` says of their settings.
pub(crate) fn configured(config: &Config) -> Finding {
    let (mut what, mut problem) = (vec!["every key is known".to_owned()], None);
    for domain in ALL {
        match (domain.configured)(config) {
            Ok(said) => what.extend(said),
            Err(failure) => problem = problem.or(Some(failure)),
        }
    }
    Finding::new("configuration", what.join("; "), problem)
}

/// What `doctor` finds of their servers, in order.
pub(crate) async fn look(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    for domain in ALL {
        found.extend((domain.look)(config).await);
    }
    found
}

/// Queues of the store that a worker works unasked.
pub(crate) fn queues() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(|domain| domain.queues.iter().copied())
}

/// Queues of peers that one of them knows.
pub(crate) fn peers() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(|domain| domain.peers.iter().copied())
}

/// The queue in which this kind stands unless the producer says otherwise.
pub(crate) fn queue_of(kind: &Kind, own: Option<&Foreign>) -> Option<&'static str> {
    ALL.iter().find_map(|domain| (domain.queue_of)(kind, own))
}

/// Every kind of ours, whatever is configured.
pub(crate) fn kinds() -> impl Iterator<Item = &'static str> {
    let config = Config::defaults();
    ALL.iter().flat_map(move |domain| (domain.kinds)(&config)).map(|(kind, _)| kind)
}

/// Those that this binary works with this configuration: of every other kind it is said that its program must run.
pub(crate) fn own_kinds(config: &Config) -> OwnKinds {
    let all: Vec<_> = ALL.iter().flat_map(|domain| (domain.kinds)(config)).collect();
    let of = |command: fn(WorkedBy) -> bool| {
        let some = all.iter().filter(move |(_, by)| command(*by));
        some.filter_map(|(kind, _)| Kind::new(*kind).ok()).collect::<Vec<_>>()
    };
    OwnKinds::new(of(|by| by == WorkedBy::Worker), of(|by| by != WorkedBy::Nobody))
}

/// The setting with the attempts of this kind.
pub(crate) fn attempts_of(kind: &Kind) -> &'static Key<u32> {
    ALL.iter().find_map(|domain| (domain.attempts_of)(kind)).unwrap_or(&keys::MAX_ATTEMPTS)
}

/// What they bind to this broker.
pub(crate) fn bindings(config: &Config, source: &Source) -> Result<Vec<Bound>, Failure> {
    let each = ALL.iter().map(|domain| (domain.bindings)(config, source));
    Ok(each.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// What a worker with these handlers deletes for them: the tables of a domain are there where its jobs are done.
pub(crate) fn retentions(
    config: &Config,
    database: &Database,
    registry: &Registry,
) -> Vec<Arc<dyn Retention>> {
    let known = registry.known();
    let does = |kind: &str| known.iter().any(|one| one.as_str() == kind);
    ALL.iter()
        .filter(|domain| (domain.kinds)(config).iter().any(|(kind, _)| does(kind)))
        .filter_map(|domain| (domain.retention)(config, database))
        .collect()
}

/// The tables that they need in a process of this role.
pub(crate) fn tables(config: &Config, role: Role) -> impl Iterator<Item = &'static Line> {
    ALL.iter().filter(move |domain| (domain.is_on)(config, role)).filter_map(|domain| domain.tables)
}

/// The tables that there can be.
pub(crate) fn all_tables() -> impl Iterator<Item = &'static Line> {
    ALL.iter().filter_map(|domain| domain.tables)
}

/// What an API does for them besides answering, until the shutdown begins.
pub(crate) async fn beside_api(
    config: &Config,
    backend: &Backend,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let all = ALL.iter().filter_map(|domain| (domain.beside_api)(config, backend, shutdown));
    let quiet = async {
        shutdown.quieted().await;
        Ok(())
    };
    try_join_all(all.chain([Box::pin(quiet) as BoxFuture<'_, _>])).await.map(drop)
}

impl Equipment<'_> {
    /// The handlers of this process. A kind that is not among them is parked by the engine and not failed, so that another
    /// worker can do it.
    pub(crate) fn registry(&self) -> Result<Registry, Failure> {
        ALL.iter().try_fold(Registry::default(), |registry, domain| (domain.handlers)(self, registry))
    }

    /// What this process shows.
    pub(crate) fn faces(&self) -> Result<Faces, Failure> {
        let mut all = Faces::default();
        for domain in ALL {
            let Faces { routes, sections } = (domain.faces)(self)?;
            all.routes = all.routes.merge(routes);
            all.sections.extend(sections);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use backshift_core::JobOptions;
    use backshift_store::Options;

    use super::*;

    #[tokio::test]
    async fn the_rows_of_a_domain_are_pruned_where_one_of_its_kinds_is_done() {
        let place = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", place.path().join("jobs.db").display());
        let database = Database::open(&url, &Options::default()).unwrap();
        let pruned = |kinds: &[&str]| {
            let with = |registry: Registry, kind: &&str| {
                registry.with_raw(&Kind::new(*kind).unwrap(), JobOptions::default(), |_| async { Ok(()) })
            };
            let registry = kinds.iter().fold(Registry::default(), with);
            let all = retentions(&Config::defaults(), &database, &registry);
            all.iter().map(|retention| retention.name()).collect::<Vec<_>>()
        };
        assert!(pruned(&["some.kind", "backshift.probe"]).is_empty());
        assert_eq!(pruned(&["email.send"]), ["email_sends"]);
        assert_eq!(pruned(&["identity.send_code", "email.send"]), ["email_sends", "one-time codes"]);
    }
}
