//! Bugs on purpose: they prove that the simulation can fail. One at a time, for one thread, by [`plant`]. Only those stand
//! here that no lying port could show: a store that says yes and does nothing is a fault of `testkit`.
//!
//! Without the feature `planted`, and in every build without debug assertions, [`has`] is a constant `false` and
//! the bugs are not in the program: no release binary carries them, whatever features it was built with.

/// One bug of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bug {
    /// A drain acknowledges what it should put back.
    LosesOnDrain,
    /// Each instance gives the job of a tick an id of its own.
    TicksTwice,
    /// Moves the schedule on before the tick's job was accepted.
    AdvancesBeforeTheTick,
    /// An attempt that was stopped because the store is away counts.
    CountsOutages,
    /// An attempt that a drain stopped counts.
    CountsShutdowns,
    /// Buries jobs of a kind that it does not know.
    FailsUnknownKinds,
    /// A panic keeps its slot for ever.
    LeaksSlots,
    /// A slot counts as free while its job runs.
    FreesSlotsEarly,
    /// The number of the attempt is the delivery's and not the ledger's.
    TrustsTheEnvelope,
    /// Handlers run for as long as they like.
    NeverTimesOut,
    /// Begins a handler whatever became of its lease meanwhile.
    StartsAfterTheLease,
    /// Starts a job again that it still runs, when its message comes again.
    AdoptsNothing,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Self; 12] = [
        Self::LosesOnDrain,
        Self::TicksTwice,
        Self::AdvancesBeforeTheTick,
        Self::CountsOutages,
        Self::CountsShutdowns,
        Self::FailsUnknownKinds,
        Self::LeaksSlots,
        Self::FreesSlotsEarly,
        Self::TrustsTheEnvelope,
        Self::NeverTimesOut,
        Self::StartsAfterTheLease,
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
