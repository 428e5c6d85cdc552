//! What `enqueue` is told.

use backshift_core::client::PRIORITIES;

use crate::literal::literal;

/// The most jobs that one `count` makes, as a flag and in a line of standard input.
pub(super) const MOST: u64 = 100_000_000;

/// What a priority may be, as the parser of flags wants it.
fn priorities() -> std::ops::RangeInclusive<i64> {
    (*PRIORITIES.start()).into()..=(*PRIORITIES.end()).into()
}

fn payload_help() -> String {
    literal("JSON; {n} in a string is the number of the job, from 0")
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The kind, such as email.send.
    #[arg(required_unless_present = "stdin")]
    pub(super) kind: Option<String>,
    // Its text is beside the examples: clap would make a line break of {n}.
    #[arg(long, value_name = "JSON", required_unless_present = "stdin", help = payload_help())]
    pub(super) payload: Option<String>,
    /// The queue; without it the kind's own (email.send: mail), else default.
    #[arg(long)]
    pub(super) queue: Option<String>,
    /// How many.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MOST), conflicts_with = "id")]
    pub(super) count: u64,
    /// A UUID; the same id again adds nothing.
    #[arg(long)]
    pub(super) id: Option<String>,
    /// Not before this long from now, such as 5m.
    #[arg(long = "in", value_name = "DURATION", conflicts_with = "at")]
    pub(super) delay: Option<String>,
    /// Not before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<String>,
    /// Higher runs first, -100 to 100.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = clap::value_parser!(i16).range(priorities()))]
    pub(super) priority: i16,
    /// At most one unfinished job per key.
    #[arg(long, value_name = "KEY")]
    pub(super) unique_key: Option<String>,
    /// What happens when the key is held: reject, replace, keep-last.
    #[arg(long, value_name = "POLICY", default_value = "reject", requires = "unique_key")]
    pub(super) unique_policy: String,
    /// Also into a queue that nobody knows yet and whose name looks like a slip of the keys.
    #[arg(long)]
    pub(super) new: bool,
    /// Read JSON lines from standard input.
    #[arg(long, conflicts_with_all = ["kind", "payload", "id", "count", "delay", "at", "unique_key"])]
    pub(super) stdin: bool,
    /// Print one JSON array of ids.
    #[arg(long)]
    pub(super) json: bool,
}
