//! The names of system C for what is counted under ours, so that its dashboards and alerts go on.
//!
//! Nothing is counted twice: the lines of the page are repeated under the other name.

/// Ours, and what system C calls it (docs/contracts/system-c.md, "Metrics").
const NAMES: [(&str, &str); 10] = [
    ("backshift_jobs_taken_total", "messages_consumed_total"),
    ("backshift_jobs_completed_total", "messages_processed_success"),
    ("backshift_attempts_failed_total", "messages_processed_errors"),
    ("backshift_attempt_duration_seconds", "message_processing_duration_seconds"),
    ("backshift_jobs_running", "active_tasks"),
    ("backshift_queue_depth", "queue_depth"),
    ("backshift_jobs_enqueued_per_second", "message_publish_rate"),
    ("backshift_jobs_taken_per_second", "message_consume_rate"),
    ("backshift_pools_consuming", "connection_count"),
    // The original has two names for them.
    ("backshift_jobs_running", "active_goroutines"),
];

/// The page's lines that system C has a name for, under that name.
pub(super) fn under_their_names(page: &str) -> String {
    let mut more = String::new();
    for (ours, theirs) in NAMES {
        for line in page.lines() {
            if let Some((before, after)) = around(line, ours) {
                more.extend([before, theirs, after, "\n"]);
            }
        }
    }
    more
}

/// What stands before and behind the name, in a line that is about this metric.
fn around<'a>(line: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    for head in ["# HELP ", "# TYPE "] {
        if let Some(rest) = line.strip_prefix(head) {
            let after = rest.strip_prefix(name)?;
            return after.starts_with(' ').then_some((head, after));
        }
    }
    let after = line.strip_prefix(name)?;
    let own = after.strip_prefix("_bucket").or(after.strip_prefix("_sum")).or(after.strip_prefix("_count"));
    own.unwrap_or(after).starts_with([' ', '{']).then_some(("", after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_metric_is_repeated_and_no_other() {
        let page = "# HELP backshift_jobs_taken_total Jobs.\n\
                    # TYPE backshift_jobs_taken_total counter\n\
                    backshift_jobs_taken_total{kind=\"a\"} 3\n\
                    backshift_jobs_taken_total_of_others 4\n\
                    # TYPE backshift_jobs_taken_total_of_others counter\n\
                    backshift_attempt_duration_seconds_bucket{le=\"1\"} 2\n\
                    backshift_attempt_duration_seconds_sum 0.5\n\
                    backshift_jobs_running 1\n";
        assert_eq!(
            under_their_names(page),
            "# HELP messages_consumed_total Jobs.\n\
             # TYPE messages_consumed_total counter\n\
             messages_consumed_total{kind=\"a\"} 3\n\
             message_processing_duration_seconds_bucket{le=\"1\"} 2\n\
             message_processing_duration_seconds_sum 0.5\n\
             active_tasks 1\n\
             active_goroutines 1\n"
        );
    }
}
