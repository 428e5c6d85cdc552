//! What is measured: a bench has arms, and its rows compare two of them.

use anyhow::Result;
use async_trait::async_trait;
use futures::future::BoxFuture;

use super::Sample;

/// One way to do the work. Only what happens between [`super::Stopwatch`]'s start and stop is counted, so that
/// filling queues and connecting are free.
#[async_trait]
pub(crate) trait Arm: Send {
    /// Stable name within the bench.
    fn name(&self) -> &'static str;

    /// Settings that a reader needs to judge the figure: versions, batch sizes, durability.
    fn settings(&self) -> String;

    /// Makes the data set anew, does the work, and says how much of it the *server* shows as done.
    ///
    /// # Errors
    /// An arm that cannot run is "no result", never a slow one.
    async fn measure(&mut self, scale: f64) -> Result<Sample>;
}

/// Makes the arms; `scale` is the same that [`Arm::measure`] is given.
pub(crate) type MakeArms = fn(scale: f64) -> BoxFuture<'static, Result<Vec<Box<dyn Arm>>>>;

/// Arms that are measured together, and the rows that they answer.
pub(crate) struct Bench {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) arms: MakeArms,
    pub(crate) rows: &'static [Row],
}

/// One line of the table: an id that never changes, two arms, and what their ratio should be.
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) what: &'static str,
    pub(crate) ours: &'static str,
    /// `None`: the figure itself is judged, not a ratio.
    pub(crate) theirs: Option<&'static str>,
    pub(crate) goal: Goal,
}

/// What a row should reach.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Shown, not judged.
    Reported,
}
