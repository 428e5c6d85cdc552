//! Every metric that a process counts itself: its name, what it is and what it says.
//!
//! docs/guides/operations.md has a line for each; what the ledger says beside them is in `ledger.rs`.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in seconds.
    Histogram,
}

use Type::{Counter, Gauge, Histogram};

/// Name, type, meaning.
type Metric = (&'static str, Type, &'static str);

/// The engine's own.
pub(super) const ENGINE: &[Metric] = &[
    ("backshift_jobs_enqueued_total", Counter, "Jobs that this process enqueued."),
    ("backshift_jobs_enqueued_per_second", Gauge, "The same, over the last five seconds."),
    (
        "backshift_jobs_taken_total",
        Counter,
        "Jobs whose first attempt began here, malformed messages among them.",
    ),
    ("backshift_jobs_taken_per_second", Gauge, "Deliveries taken over the last five seconds."),
    ("backshift_jobs_running", Gauge, "Attempts that run now."),
    ("backshift_jobs_completed_total", Counter, "Jobs that were completed here."),
    ("backshift_attempts_failed_total", Counter, "Attempts that failed; a job may fail several times."),
    ("backshift_attempt_duration_seconds", Histogram, "How long attempts took, however they ended."),
    ("backshift_jobs_parked_total", Counter, "Jobs put aside because nobody here knows their kind."),
    ("backshift_jobs_rescued_total", Counter, "Jobs given back because their worker was gone."),
    (
        "backshift_jobs_crash_loop_total",
        Counter,
        "Jobs that are dead because they ended their process again and again.",
    ),
    (
        "backshift_jobs_forsaken_total",
        Counter,
        "Jobs that are dead because their message is gone from the broker.",
    ),
    (
        "backshift_jobs_handed_over_total",
        Counter,
        "Long jobs that the store alone keeps; their messages were acknowledged while they ran.",
    ),
    (
        "backshift_deliveries_adopted_total",
        Counter,
        "Deliveries of a job that still ran here: it was not started again.",
    ),
    (
        "backshift_settlements_failed_total",
        Counter,
        "Results that the broker did not take; the ledger has them.",
    ),
    (
        "backshift_results_stale_total",
        Counter,
        "Results that came after their lease: somebody else has the job.",
    ),
    ("backshift_breaker_snoozes_total", Counter, "Attempts put off because a circuit breaker was open."),
    ("backshift_breaker_probes_total", Counter, "Attempts let through to try a dependency."),
    ("backshift_parts_restarted_total", Counter, "Parts of the engine that ended and were started again."),
    ("backshift_pools_consuming", Gauge, "Pools that receive jobs from their broker now."),
    ("backshift_queue_depth", Gauge, "What waits at the broker in a queue that this process works."),
];

/// What the mail worker counts, under the names of docs/contracts/system-c.md.
pub(super) const MAIL: &[Metric] = &[
    ("smtp_send_duration_seconds", Histogram, "How long the SMTP server took for a mail."),
    ("email_ambiguous_total", Counter, "Mails of which nobody can know whether they were delivered."),
    ("email_suppressed_total", Counter, "Recipients left out because their address bounced for good."),
    (
        "mail_transport_paused",
        Gauge,
        "1 while no mail is tried because the SMTP server refuses us or is away.",
    ),
];

/// Describes these, and lets each be there from the start: an alert on it does not see "no data".
pub(super) fn introduce(metrics: &[Metric]) {
    for &(name, what, meaning) in metrics {
        match what {
            Counter => {
                describe_counter!(name, meaning);
                counter!(name).increment(0);
            }
            Gauge => {
                describe_gauge!(name, meaning);
                gauge!(name).set(0.0);
            }
            Histogram => {
                describe_histogram!(name, meaning);
                let _ = histogram!(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    const GUIDE: &str = include_str!("../../../../../docs/guides/operations.md");

    #[test]
    fn the_guide_has_a_line_for_each() {
        let ledger = super::super::ledger::NAMES;
        for name in ENGINE.iter().chain(MAIL).map(|(name, ..)| name).chain(ledger) {
            assert!(GUIDE.contains(&format!("| `{name}")), "{name} is missing in docs/guides/operations.md");
        }
    }

    /// Every literal name in the code, of the crates that count something.
    fn counted(directory: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                counted(&path, found);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            for call in ["counter!(\"", "gauge!(\"", "histogram!(\""] {
                found.extend(
                    text.split(call).skip(1).filter_map(|rest| Some(rest.split('"').next()?.to_owned())),
                );
            }
        }
    }

    #[test]
    fn whatever_is_counted_is_described() {
        let mut found = BTreeSet::new();
        for name in ["core", "runtime", "brokers", "store", "mail", "domains", "http"] {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
            counted(&source, &mut found);
        }
        assert!(found.len() > 10, "{found:?}");
        let known: BTreeSet<_> = ENGINE.iter().chain(MAIL).map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(found, known);
    }
}
