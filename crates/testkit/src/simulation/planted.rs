//! Bugs on purpose in a simulated world: in the engine, or in the broker or store that it works with. Each names the
//! rule of the model that has to report it.

use std::fmt;

use backshift_runtime::planted::Bug;

use super::{
    rules::Rule,
    run::{Options, simulate},
};
use crate::faults::{BrokerFault, StoreFault};

/// What is wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// In the engine.
    Engine(Bug),
    /// In the broker.
    Broker(BrokerFault),
    /// In the store.
    Store(StoreFault),
}

impl fmt::Display for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(bug) => write!(f, "engine {bug:?}"),
            Self::Broker(fault) => write!(f, "broker {fault:?}"),
            Self::Store(fault) => write!(f, "store {fault:?}"),
        }
    }
}

/// Every bug that the simulation has to catch, with the rule that reports it.
pub const CATALOGUE: &[(Planted, Rule)] = &[
    (Planted::Engine(Bug::LosesOnDrain), Rule::TrueOutcome),
    (Planted::Engine(Bug::TicksTwice), Rule::Ticks),
    (Planted::Engine(Bug::AdvancesBeforeTheTick), Rule::Ticks),
    (Planted::Engine(Bug::CountsOutages), Rule::HonestCount),
    (Planted::Engine(Bug::CountsShutdowns), Rule::HonestCount),
    (Planted::Engine(Bug::FailsUnknownKinds), Rule::RightEnd),
    (Planted::Engine(Bug::LeaksSlots), Rule::Ended),
    (Planted::Engine(Bug::FreesSlotsEarly), Rule::Slots),
    (Planted::Engine(Bug::TrustsTheEnvelope), Rule::HonestCount),
    (Planted::Engine(Bug::NeverTimesOut), Rule::Ended),
    (Planted::Engine(Bug::AdoptsNothing), Rule::OnceInside),
    (Planted::Broker(BrokerFault::AcksBeforeTheEffect), Rule::Ended),
    (Planted::Broker(BrokerFault::AcksBeforeTheEffect), Rule::TrueOutcome),
    (Planted::Broker(BrokerFault::ConfirmsUnwritten), Rule::Ended),
    (Planted::Broker(BrokerFault::CountsSnoozes), Rule::HonestCount),
    (Planted::Broker(BrokerFault::DropsHeaders), Rule::Payload),
    (Planted::Broker(BrokerFault::LosesOnRetry), Rule::Ended),
    (Planted::Broker(BrokerFault::RetriesAfterTheAck), Rule::Ended),
    (Planted::Broker(BrokerFault::LosesDeadLetters), Rule::DeadLetter),
    (Planted::Broker(BrokerFault::LosesDroppedNext), Rule::Ended),
    (Planted::Broker(BrokerFault::AcksEarlierOnesToo), Rule::Ended),
    (Planted::Store(StoreFault::NoFencing), Rule::TrueOutcome),
    (Planted::Store(StoreFault::AcceptsStaleResults), Rule::Ended),
    (Planted::Store(StoreFault::LosesResults), Rule::Ended),
    (Planted::Store(StoreFault::SaysItBeats), Rule::KeptLease),
    (Planted::Store(StoreFault::SaysItKeeps), Rule::Ended),
    (Planted::Store(StoreFault::HidesPauses), Rule::Paused),
    (Planted::Store(StoreFault::RunsHeldJobs), Rule::KeptLease),
    (Planted::Store(StoreFault::RescuesByAge), Rule::KeptLease),
    (Planted::Store(StoreFault::CountsCrashes), Rule::RightEnd),
    (Planted::Store(StoreFault::NeverCounts), Rule::Ended),
    (Planted::Store(StoreFault::ForgetsUniqueKeys), Rule::Unique),
    (Planted::Store(StoreFault::KeepsUniqueKeys), Rule::Unique),
    (Planted::Store(StoreFault::PlacesEverybody), Rule::Concurrency),
    (Planted::Store(StoreFault::GrantsEverything), Rule::Rate),
    (Planted::Store(StoreFault::ForgetsEffects), Rule::OutsideOnce),
];

/// How a bug was caught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught {
    /// In this seed.
    pub seed: u64,
    /// After so many seeds.
    pub seeds: u64,
    /// What the rule said.
    pub detail: String,
    /// Every rule that was broken until then.
    pub rules: Vec<Rule>,
}

/// Runs seeds with the bug until the rule reports it; `Err` = the rules that were broken in all the seeds, and it was
/// not among them.
///
/// # Errors
/// The bug was not caught by its rule in these seeds.
pub fn catch(planted: Planted, by: Rule, first: u64, seeds: u64) -> Result<Caught, Vec<Rule>> {
    let mut rules = Vec::new();
    for seed in first..first + seeds {
        let outcome = simulate(seed, Options { planted: Some(planted), traced: false });
        rules.extend(outcome.findings.iter().map(|finding| finding.rule));
        rules.sort_unstable();
        rules.dedup();
        if let Some(finding) = outcome.findings.into_iter().find(|finding| finding.rule == by) {
            return Ok(Caught { seed, seeds: seed - first + 1, detail: finding.detail, rules });
        }
    }
    Err(rules)
}
