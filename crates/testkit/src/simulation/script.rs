//! What a simulated job does, start by start, written into its payload. The end follows from it, so that the model
//! knows what must come out whatever goes wrong on the way.

use std::time::Duration;

use backshift_core::{Bytes, Reason, State};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// The hard limit of an attempt in simulated worlds.
pub(super) const TIMEOUT: Duration = Duration::from_secs(100);

/// What a job does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Script {
    /// Tells payloads apart.
    pub(super) number: u32,
    /// How long each start works, in milliseconds.
    pub(super) work: u64,
    /// It snoozes while it was started at most so often.
    pub(super) snoozes: u32,
    /// It fails while its attempt is at most this.
    pub(super) fails: u32,
    /// How it fails.
    pub(super) how: Failing,
    /// It goes on when it is told to stop.
    pub(super) deaf: bool,
    /// Its first start leaves a ghost behind that commits the effect so many milliseconds later; 0 = none.
    pub(super) ghost: u64,
    /// It asks the store before it ends, and `?` hands on that the store is away.
    pub(super) asks: bool,
    /// What comes of it at last.
    pub(super) end: End,
}

/// How an attempt fails.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) enum Failing {
    Error,
    Throttled,
    Panic,
    Timeout,
    /// The handler's own transaction does not commit, and the handler does not notice.
    Rollback,
}

/// What the last attempt does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) enum End {
    Plain,
    Effect,
    EffectThenError,
    EffectThenPanic,
    Outside,
    Permanent,
    Cancel,
}

impl End {
    /// Whether it commits an effect in our database.
    pub(super) fn commits(self) -> bool {
        matches!(self, Self::Effect | Self::EffectThenError | Self::EffectThenPanic)
    }
}

impl Script {
    /// Completes at once.
    pub(super) fn plain(number: u32) -> Self {
        let (how, end) = (Failing::Error, End::Plain);
        Self { number, work: 50, snoozes: 0, fails: 0, how, deaf: false, ghost: 0, asks: false, end }
    }

    /// Any script.
    pub(super) fn any(number: u32, rng: &mut impl Rng) -> Self {
        let work = match rng.random_range(0..10) {
            0..5 => rng.random_range(0..400),
            5..9 => rng.random_range(0..15_000),
            _ => rng.random_range(20_000..80_000),
        };
        let how = match rng.random_range(0..10) {
            0..4 => Failing::Error,
            4 => Failing::Throttled,
            5..8 => Failing::Panic,
            8 => Failing::Timeout,
            _ => Failing::Rollback,
        };
        let end = match rng.random_range(0..20) {
            0..4 => End::Plain,
            4..12 => End::Effect,
            12 => End::EffectThenError,
            13 => End::EffectThenPanic,
            14..17 => End::Outside,
            17..19 => End::Permanent,
            _ => End::Cancel,
        };
        let (fails, snoozes) = (rng.random_range(0..4_u32), rng.random_range(0..3_u32));
        let some = |yes: bool, number: u32| if yes { number } else { 0 };
        Self {
            number,
            work,
            snoozes: some(rng.random_bool(0.25), snoozes),
            fails: some(rng.random_bool(0.4), fails),
            how,
            deaf: rng.random_bool(0.2),
            ghost: 0,
            asks: rng.random_bool(0.3),
            end,
        }
    }

    /// Leaves a ghost: its effect arrives when somebody else may hold the job.
    pub(super) fn haunted(number: u32, rng: &mut impl Rng) -> Self {
        let ghost = rng.random_range(5_000..150_000);
        Self { ghost, end: End::Effect, asks: true, ..Self::plain(number) }
    }

    pub(super) fn payload(&self) -> Bytes {
        // Plain data: it can always be written.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    /// The ends that are right when it may take so many attempts.
    pub(super) fn ends(&self, max_attempts: u32) -> Vec<(State, Option<Reason>)> {
        if self.how != Failing::Rollback && self.fails >= max_attempts {
            return vec![(State::Dead, Some(Reason::AttemptsExhausted))];
        }
        match self.end {
            End::Permanent => vec![(State::Dead, Some(Reason::Permanent))],
            End::Cancel => vec![(State::Cancelled, None)],
            End::Outside => vec![(State::Completed, None), (State::Dead, Some(Reason::Ambiguous))],
            _ => vec![(State::Completed, None)],
        }
    }
}
