//! The lies of a store, and the rule that each breaks.

/// One lie of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// Writes the result of whoever brings one.
    NoFencing,
    /// Says that late results were applied, and does not write them.
    AcceptsStaleResults,
    /// Says that results were applied, and writes none.
    LosesResults,
    /// Lets two workers run one job.
    RunsHeldJobs,
    /// Extends the lease of whoever asks.
    BeatsForAnybody,
    /// Takes jobs from workers that live, because they run long.
    RescuesByAge,
    /// Tells every instance that it won the tick.
    TicksTwice,
    /// Reads the payload as JSON and writes it again.
    RewritesPayload,
    /// Keeps payloads that must not be kept.
    KeepsSecrets,
    /// Forgets unique keys.
    ForgetsUniqueKeys,
    /// Forgets idempotency keys.
    ForgetsIdempotency,
    /// Grants every reservation.
    GrantsEverything,
    /// Gives every job a place.
    PlacesEverybody,
    /// Forgets that an effect was begun.
    ForgetsEffects,
    /// Counts a lost worker as an attempt.
    CountsCrashes,
    /// Lets everybody probe a half-open circuit.
    ProbesAtOnce,
    /// Hands one unpublished job to two relays.
    HandsOutTwice,
    /// Leaves a row out of full pages.
    SkipsRows,
    /// Forgets the wish to cancel.
    ForgetsCancel,
    /// Loses the handler's output.
    LosesOutput,
    /// Retries at the same attempt for ever.
    NeverCounts,
    /// Says that leases are extended, and leaves them as they are.
    SaysItBeats,
    /// Opens a circuit after a failed probe for as long as before.
    OpensNoLonger,
    /// Holds a unique key for a job that has ended.
    KeepsUniqueKeys,
    /// Runs jobs before the time of their retry.
    RunsEarly,
    /// Lets an ended job answer for every message that looks like its own.
    ForgetsWhatIsGone,
    /// Lets a delivery of another queue run a job whose id it knows.
    TrustsIds,
    /// Forgets which kinds a worker knows.
    OffersNothing,
    /// Lets every suspect run at once.
    SeatsEverybody,
    /// Says that no queue is paused.
    HidesPauses,
    /// Gives nobody a hint of a wish.
    TellsNobody,
    /// Does not find the wish to cancel when it is asked.
    HidesWishes,
    /// Lets everything through as soon as one probe has succeeded.
    ReturnsAtOnce,
    /// Gives up jobs at the very end of their lease.
    ForsakesWhatRuns,
    /// Says that it took over a running job, and did not.
    SaysItKeeps,
    /// Does not write down what keeps a worker from its work.
    HearsNoTrouble,
    /// Lists no kind that waits for a worker.
    ParksInSilence,
    /// Does what a person wishes and does not write down who it was.
    ForgetsHands,
    /// Begins every sweep anew.
    BeginsAnew,
}

impl StoreFault {
    /// Every fault.
    pub const ALL: [Self; 39] = [
        Self::NoFencing,
        Self::AcceptsStaleResults,
        Self::LosesResults,
        Self::RunsHeldJobs,
        Self::BeatsForAnybody,
        Self::RescuesByAge,
        Self::TicksTwice,
        Self::RewritesPayload,
        Self::KeepsSecrets,
        Self::ForgetsUniqueKeys,
        Self::ForgetsIdempotency,
        Self::GrantsEverything,
        Self::PlacesEverybody,
        Self::ForgetsEffects,
        Self::CountsCrashes,
        Self::ProbesAtOnce,
        Self::HandsOutTwice,
        Self::SkipsRows,
        Self::ForgetsCancel,
        Self::LosesOutput,
        Self::NeverCounts,
        Self::SaysItBeats,
        Self::OpensNoLonger,
        Self::KeepsUniqueKeys,
        Self::RunsEarly,
        Self::ForgetsWhatIsGone,
        Self::TrustsIds,
        Self::OffersNothing,
        Self::SeatsEverybody,
        Self::HidesPauses,
        Self::TellsNobody,
        Self::HidesWishes,
        Self::ReturnsAtOnce,
        Self::ForsakesWhatRuns,
        Self::SaysItKeeps,
        Self::HearsNoTrouble,
        Self::ParksInSilence,
        Self::ForgetsHands,
        Self::BeginsAnew,
    ];

    /// A rule of `docs/spec/store.md` that this fault breaks.
    pub fn breaks(self) -> &'static str {
        match self {
            Self::NoFencing | Self::AcceptsStaleResults => "S21",
            Self::RunsHeldJobs => "S12",
            Self::BeatsForAnybody => "S31",
            Self::RescuesByAge => "S53",
            Self::TicksTwice => "S57",
            Self::RewritesPayload => "S8",
            Self::KeepsSecrets => "S9",
            Self::ForgetsUniqueKeys => "S83",
            Self::ForgetsIdempotency => "S72",
            Self::GrantsEverything => "S61",
            Self::PlacesEverybody => "S62",
            Self::ForgetsEffects => "S68",
            Self::CountsCrashes => "S7",
            Self::ProbesAtOnce => "S65",
            Self::HandsOutTwice => "S74",
            Self::SkipsRows => "S40",
            Self::ForgetsCancel => "S32",
            Self::LosesOutput | Self::LosesResults => "S20",
            Self::NeverCounts => "S22",
            Self::SaysItBeats => "S30",
            Self::OpensNoLonger => "S66",
            Self::KeepsUniqueKeys => "S84",
            Self::RunsEarly => "S120",
            Self::ForgetsWhatIsGone => "S121",
            Self::TrustsIds => "S123",
            Self::OffersNothing => "S100",
            Self::SeatsEverybody => "S102",
            Self::HidesPauses => "S51",
            Self::TellsNobody | Self::HidesWishes => "S103",
            Self::ReturnsAtOnce => "S104",
            Self::ForsakesWhatRuns => "S124",
            Self::SaysItKeeps => "S126",
            Self::HearsNoTrouble => "S200",
            Self::ParksInSilence => "S201",
            Self::ForgetsHands => "S157",
            Self::BeginsAnew => "S151",
        }
    }
}
