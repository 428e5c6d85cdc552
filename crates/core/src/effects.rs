//! The inbox of effects: what is known about an effect in the outside world.
//!
//! `intended` is durable *before* the outside call and `done` after it; a job found `intended` at its next
//! start is `ambiguous`: nobody can know whether the effect happened.

/// What is known about one effect of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EffectState {
    /// No outside effect was begun.
    #[default]
    None,
    /// About to happen, or happening.
    Intended,
    /// Happened, and the other side said so.
    Done,
    /// Begun, and its end is unknown.
    Ambiguous,
}

impl EffectState {
    /// The stable name in the database, in lists and in filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Intended => "intended",
            Self::Done => "done",
            Self::Ambiguous => "ambiguous",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Intended, Self::Done, Self::Ambiguous].into_iter().find(|s| s.as_str() == text)
    }
}

/// An effect as the inbox knows it when a handler asks to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectStatus {
    /// What was known before this call; `None` = this is the first time.
    pub before: EffectState,
    /// How often it was begun, this time included.
    pub tries: u32,
    /// What the other side called it, when it is done.
    pub receipt: Option<String>,
}
