//! What one arm did in one round, as figures.

/// What one arm did in one round.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Sample {
    /// Jobs that the server shows as done.
    pub(crate) jobs: u64,
    pub(crate) seconds: f64,
    /// The figure that ratios are made of.
    pub(crate) value: f64,
    pub(crate) unit: Unit,
    /// Processor seconds of this process per 1,000 jobs (peers: of the peer's process, once it has ended).
    pub(crate) client_cpu: f64,
    /// Processor seconds of the server's process tree per 1,000 jobs.
    pub(crate) server_cpu: Option<f64>,
}

/// What an arm's value counts.
#[derive(Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    /// Jobs, messages or mails per second: more is better.
    PerSecond,
    /// A latency: less is better.
    Milliseconds,
    /// Memory: less is better.
    Mebibytes,
}
