//! How often and how large a bench is run.

/// How a bench is run.
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) scale: f64,
    /// Empty = all arms.
    pub(crate) only: Vec<String>,
}
