//! What must hold in every simulated world, one name a rule. A finding is a broken rule with the facts.

use std::fmt;

/// A rule of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// An accepted job comes to an end.
    Ended,
    /// It ends as its script says.
    RightEnd,
    /// Its effect in our database happens once when it completes, and never else.
    OneEffect,
    /// Nobody commits an effect under a token that a later start has passed.
    NoStaleEffect,
    /// The ledger says of each start what that start did.
    TrueOutcome,
    /// The token rises with every start.
    RisingToken,
    /// The attempt is 1 + the failures that really happened.
    HonestCount,
    /// Where nothing fails, nobody loses a lease.
    KeptLease,
    /// A process begins no job that it still runs under a lease that stands.
    OnceInside,
    /// A pool runs no more jobs at once than it has slots.
    Slots,
    /// A concurrency limit holds over the fleet.
    Concurrency,
    /// A rate limit holds over the fleet.
    Rate,
    /// A unique key admits one unfinished job, and the next one afterwards.
    Unique,
    /// Every tick of a schedule is there, once.
    Ticks,
    /// Nothing starts before its time.
    NotEarly,
    /// What is dead lies in the broker's own place, and nothing else does.
    DeadLetter,
    /// Nothing is left in the broker.
    NothingLeft,
    /// A drain ends within its grace and loses nothing.
    Drain,
    /// A paused queue is not worked.
    Paused,
    /// The handler gets the bytes and headers that were enqueued.
    Payload,
    /// A worker does not end by itself while its servers are well.
    Alive,
    /// A worker is ready once its servers are well.
    Ready,
    /// The world comes to rest within a bounded number of calls.
    Bounded,
    /// An effect outside happens at most once unless the job says that it is ambiguous.
    OutsideOnce,
}

impl Rule {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::RightEnd => "right-end",
            Self::OneEffect => "one-effect",
            Self::NoStaleEffect => "no-stale-effect",
            Self::TrueOutcome => "true-outcome",
            Self::RisingToken => "rising-token",
            Self::HonestCount => "honest-count",
            Self::KeptLease => "kept-lease",
            Self::OnceInside => "once-inside",
            Self::Slots => "slots",
            Self::Concurrency => "concurrency",
            Self::Rate => "rate",
            Self::Unique => "unique",
            Self::Ticks => "ticks",
            Self::NotEarly => "not-early",
            Self::DeadLetter => "dead-letter",
            Self::NothingLeft => "nothing-left",
            Self::Drain => "drain",
            Self::Paused => "paused",
            Self::Payload => "payload",
            Self::Alive => "alive",
            Self::Ready => "ready",
            Self::Bounded => "bounded",
            Self::OutsideOnce => "outside-once",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// The facts.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.detail)
    }
}
