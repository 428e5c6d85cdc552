//! The lies of a broker, and the rule that each breaks.

/// One lie of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerFault {
    /// Says that it acknowledged and does not.
    AcksNothing,
    /// Acknowledges all earlier deliveries with each one.
    AcksEarlierOnesToo,
    /// Acknowledges when it delivers: the job is gone before its effect.
    AcksBeforeTheEffect,
    /// Forgets the headers.
    DropsHeaders,
    /// Reads the payload as JSON and writes it again.
    RewritesPayload,
    /// Hands every job out twice.
    DeliversTwice,
    /// Delivers jobs for later now.
    ForgetsDelay,
    /// Delivers in the order of arrival.
    ForgetsPriority,
    /// Ends the delivery on retry and publishes nothing.
    LosesOnRetry,
    /// Ends the delivery on retry and publishes afterwards.
    RetriesAfterTheAck,
    /// Retries at once.
    ForgetsRetryDelay,
    /// Counts a lost worker as an attempt.
    CountsCrashes,
    /// Counts a snooze as an attempt.
    CountsSnoozes,
    /// Confirms every seventh job without writing it.
    ConfirmsUnwritten,
    /// Claims a capability that it has not.
    ClaimsTooMuch,
    /// Has a capability that it does not claim.
    ClaimsTooLittle,
    /// Ends the delivery and keeps no dead letter.
    LosesDeadLetters,
    /// Keeps every dead letter under one reason.
    ForgetsTheReason,
    /// Hands out more than it was asked for.
    OverstepsFree,
    /// Loses what it fetched when `next` is dropped.
    LosesDroppedNext,
    /// Says that late results were applied.
    AppliesLateResults,
    /// Does not extend.
    NeverExtends,
    /// Keeps what it fetched when told to be quiet.
    KeepsPrefetched,
    /// Says of no delivery that it is a second one.
    HidesRedelivery,
    /// Delivers what the worker does not know.
    IgnoresKinds,
    /// Says that a queue is removed and keeps it.
    KeepsRemoved,
}

impl BrokerFault {
    /// Every fault.
    pub const ALL: [Self; 26] = [
        Self::AcksNothing,
        Self::AcksEarlierOnesToo,
        Self::AcksBeforeTheEffect,
        Self::DropsHeaders,
        Self::RewritesPayload,
        Self::DeliversTwice,
        Self::ForgetsDelay,
        Self::ForgetsPriority,
        Self::LosesOnRetry,
        Self::RetriesAfterTheAck,
        Self::ForgetsRetryDelay,
        Self::CountsCrashes,
        Self::CountsSnoozes,
        Self::ConfirmsUnwritten,
        Self::ClaimsTooMuch,
        Self::ClaimsTooLittle,
        Self::LosesDeadLetters,
        Self::ForgetsTheReason,
        Self::OverstepsFree,
        Self::LosesDroppedNext,
        Self::AppliesLateResults,
        Self::NeverExtends,
        Self::KeepsPrefetched,
        Self::HidesRedelivery,
        Self::IgnoresKinds,
        Self::KeepsRemoved,
    ];

    /// A rule of `docs/spec/broker.md` that this fault breaks.
    pub fn breaks(self) -> &'static str {
        match self {
            Self::AcksNothing => "B20",
            Self::AcksEarlierOnesToo => "B22",
            Self::AcksBeforeTheEffect => "B3",
            Self::DropsHeaders => "B1",
            Self::RewritesPayload => "B2",
            Self::DeliversTwice => "B13",
            Self::ForgetsDelay => "B40",
            Self::ForgetsPriority | Self::ClaimsTooMuch => "B50",
            Self::LosesOnRetry => "B23",
            Self::RetriesAfterTheAck => "B29",
            Self::ForgetsRetryDelay => "B24",
            Self::CountsCrashes => "B31",
            Self::CountsSnoozes => "B25",
            Self::ConfirmsUnwritten => "B4",
            Self::ClaimsTooLittle => "B43",
            Self::LosesDeadLetters | Self::ForgetsTheReason => "B60",
            Self::OverstepsFree => "B11",
            Self::LosesDroppedNext => "B16",
            Self::AppliesLateResults => "B32",
            Self::NeverExtends => "B30",
            Self::KeepsPrefetched => "B71",
            Self::HidesRedelivery => "B17",
            Self::IgnoresKinds => "B63",
            Self::KeepsRemoved => "B19",
        }
    }

    /// Whether the fault can only be seen on a broker that claims nearly everything.
    pub fn needs_capable_broker(self) -> bool {
        matches!(
            self,
            Self::ForgetsPriority
                | Self::AppliesLateResults
                | Self::NeverExtends
                | Self::CountsCrashes
                | Self::ClaimsTooLittle
                | Self::IgnoresKinds
        )
    }
}
