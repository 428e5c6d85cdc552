//! The brokers that this binary works. A new one is its file here and its line in [`ALL`].
//!
//! A *foreign* broker keeps its jobs itself and has a server of its own. The SQL brokers are the store's own queue (`ledger`).

pub(crate) mod later;
pub(crate) mod ledger;
mod rabbitmq;

use std::{sync::Arc, time::Duration};

use backshift_core::{Broker, broker::Binding, way::Way};

use crate::{
    config::{Config, Key, Setting, Text},
    exit::Failure,
};

/// Every foreign broker.
pub(crate) const ALL: &[&Source] = &[&rabbitmq::SOURCE];

/// The settings of each, in the order of the commented file.
pub(crate) fn settings() -> impl Iterator<Item = &'static [Setting]> {
    ALL.iter().map(|source| source.settings).chain([later::SETTINGS])
}

/// One foreign broker.
pub(crate) struct Source {
    /// As the ledger and the metrics call it ([`Broker::name`]).
    pub(crate) name: &'static str,
    /// As people write it.
    pub(crate) title: &'static str,
    /// The beginnings of its URLs.
    pub(crate) schemes: &'static [&'static str],
    /// Its settings; the one of its URL is among them.
    pub(crate) settings: &'static [Setting],
    /// The setting with the URL of one that is worked beside the store's own queue.
    pub(crate) url: &'static Key<Text>,
    /// What to do about a way to it that is not safe.
    pub(crate) tls: &'static str,
    /// Whether it has exchanges, by which system C's mails come.
    pub(crate) has_exchanges: bool,
    /// Set when its server takes a job back that is acknowledged too late.
    pub(crate) waits: Option<Waits>,
    /// What doctor says of a server that answers.
    pub(crate) remark: Option<&'static str>,
    /// What is done on the way to this URL.
    pub(crate) way: fn(&Config, &str) -> Result<Way, Failure>,
    /// Makes it; connects to nothing.
    pub(crate) open: fn(&Config, &str, Vec<Binding>) -> Opened,
}

pub(crate) type Opened = Result<Arc<dyn Broker>, Failure>;

/// How long a server waits for an acknowledgement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// Its setting over there.
    pub(crate) called: &'static str,
    /// Unless somebody changed it.
    pub(crate) usually: Duration,
}

/// The foreign broker whose URLs begin so.
pub(crate) fn of_scheme(scheme: &str) -> Option<&'static Source> {
    ALL.iter().copied().find(|source| source.schemes.contains(&scheme))
}

/// The foreign broker of this name.
pub(crate) fn of_name(name: &str) -> Option<&'static Source> {
    ALL.iter().copied().find(|source| source.name == name)
}

/// How the URLs of all of them are written, for remedies.
pub(crate) fn written() -> String {
    listed(["embedded:PATH".to_owned(), "postgres:…".to_owned()].into_iter().chain(urls()).collect())
}

/// The same for those that keep their jobs themselves.
pub(crate) fn foreign_written() -> String {
    listed(urls().collect())
}

fn urls() -> impl Iterator<Item = String> {
    ALL.iter().filter_map(|source| source.schemes.first()).map(|scheme| format!("{scheme}:…"))
}

fn listed(all: Vec<String>) -> String {
    match all.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => all.concat(),
    }
}

/// Every beginning of a URL that is understood.
pub(crate) fn schemes() -> impl Iterator<Item = &'static str> {
    ledger::SCHEMES.into_iter().chain(ALL.iter().flat_map(|source| source.schemes.iter().copied()))
}
