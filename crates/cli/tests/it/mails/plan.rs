//! What is killed, and when: by how many mails have arrived, so that every kill hits mails that are under way.

use std::time::Duration;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL to one of the two workers; another one takes its place at once.
    KillWorker,
    /// SIGKILL to every process of the broker, which is started again on its own data.
    KillBroker,
    /// The broker is told to stop, and started again.
    RestartBroker,
}

/// A run.
#[derive(Debug)]
pub(super) struct Plan {
    /// How many mails are published.
    pub(super) mails: usize,
    /// Each fault, and the number of arrived mails at which it happens; in order.
    pub(super) faults: Vec<(usize, Fault)>,
    /// How long the mail server takes for each mail.
    pub(super) pace: Duration,
}

impl Plan {
    /// Worker, broker, and for every further 2,500 mails one more fault, every second one the broker's.
    pub(super) fn of(mails: usize) -> Self {
        let turns = [Fault::KillWorker, Fault::KillBroker, Fault::KillWorker, Fault::RestartBroker];
        let number = 2 + mails.saturating_sub(1) / 2_500;
        let at = |n: usize| mails * (2 * n + 1) / (2 * number + 1);
        let faults = (0..number).map(|n| (at(n), turns[n % turns.len()])).collect();
        Self { mails, faults, pace: Duration::from_millis(if mails > 1_000 { 10 } else { 40 }) }
    }
}
