//! Bugs on purpose: they prove that the simulation can fail. One at a time, for one thread, by [`plant`].
//!
//! Without the feature `planted`, and in every build without debug assertions, [`has`] is a constant `false` and
//! the bugs are not in the program: no release binary carries them, whatever features it was built with.

/// One bug of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bug {
    /// Settles the delivery before the handler runs.
    AcksBeforeTheEffect,
    /// Acknowledges at a foreign broker and leaves the ledger as it is.
    AcksBeforeTheLedger,
    /// Goes on with a result that the ledger refused.
    TrustsStaleResults,
    /// A drain acknowledges what it should put back.
    LosesOnDrain,
    /// Each instance gives the job of a tick an id of its own.
    TicksTwice,
    /// Moves the schedule on before the tick's job was accepted.
    AdvancesBeforeTheTick,
    /// A snooze counts as an attempt.
    CountsSnoozes,
    /// An attempt that was stopped because the store is away counts.
    CountsOutages,
    /// An attempt that a drain stopped counts.
    CountsShutdowns,
    /// Nobody renews leases.
    NeverBeats,
    /// Claims what another worker holds.
    ClaimsHeldJobs,
    /// Buries jobs of a kind that it does not know.
    FailsUnknownKinds,
    /// A panic keeps its slot for ever.
    LeaksSlots,
    /// A slot counts as free while its job runs.
    FreesSlotsEarly,
    /// The place of a concurrency limit is given back before the handler runs.
    VacatesEarly,
    /// The relay marks as published what the broker did not confirm.
    IgnoresConfirms,
    /// A dead letter is acknowledged and not published.
    BuriesWithoutLetter,
    /// The number of the attempt is the delivery's and not the ledger's.
    TrustsTheEnvelope,
    /// Takes jobs from paused queues.
    IgnoresPauses,
    /// Handlers run for as long as they like.
    NeverTimesOut,
    /// Begins a handler whatever became of its lease meanwhile.
    StartsAfterTheLease,
    /// Acknowledges the message of a long job that the ledger does not keep.
    LetsGoUnasked,
    /// Starts a job again that it still runs, when its message comes again.
    AdoptsNothing,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Self; 23] = [
        Self::AcksBeforeTheEffect,
        Self::AcksBeforeTheLedger,
        Self::TrustsStaleResults,
        Self::LosesOnDrain,
        Self::TicksTwice,
        Self::AdvancesBeforeTheTick,
        Self::CountsSnoozes,
        Self::CountsOutages,
        Self::CountsShutdowns,
        Self::NeverBeats,
        Self::ClaimsHeldJobs,
        Self::FailsUnknownKinds,
        Self::LeaksSlots,
        Self::FreesSlotsEarly,
        Self::VacatesEarly,
        Self::IgnoresConfirms,
        Self::BuriesWithoutLetter,
        Self::TrustsTheEnvelope,
        Self::IgnoresPauses,
        Self::NeverTimesOut,
        Self::StartsAfterTheLease,
        Self::LetsGoUnasked,
        Self::AdoptsNothing,
    ];
}

#[cfg(all(feature = "planted", debug_assertions))]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants one bug into every worker that this thread runs, or takes it out again; says whether this build can.
    pub fn plant(bug: Option<Bug>) -> bool {
        PLANTED.set(bug);
        true
    }

    pub(crate) fn has(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(not(all(feature = "planted", debug_assertions)))]
mod switch {
    use super::Bug;

    /// Plants one bug into every worker that this thread runs, or takes it out again; says whether this build can.
    pub fn plant(_bug: Option<Bug>) -> bool {
        false
    }

    #[inline(always)]
    pub(crate) const fn has(_bug: Bug) -> bool {
        false
    }
}

pub(crate) use switch::has;
pub use switch::plant;
