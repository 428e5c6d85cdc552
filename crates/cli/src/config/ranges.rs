//! Settings that are each allowed and contradict each other. `doctor` calls them problems; a start warns and goes on.
//!
//! Nothing here is refused at load: a `retry.cap` below the default base is odd, and yet says what is wanted.

use std::time::Duration;

use backshift_core::store::KEPT_AT_LEAST;

use super::Config;

/// The longest pause of a mail transport.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Three heartbeats must fit into a lease, and a database may be busy for a second.
const SHORTEST_LEASE: Duration = Duration::from_secs(3);

impl Config {
    /// What contradicts what, one text a cause: setting, source, value, remedy.
    pub(crate) fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        for key in ["retention.keep", "retention.dead", "retention.otp"] {
            let (keep, for_ever) = (self.duration(key), key == "retention.dead");
            if keep < KEPT_AT_LEAST && !(for_ever && keep.is_zero()) {
                found.push(format!(
                    "{} is less than a day, and a day is kept: write 1d or more",
                    self.told(key)
                ));
            }
        }
        for (base, cap) in [("retry.base", "retry.cap"), ("mail.retry_base", "mail.retry_cap")] {
            self.not_above(base, cap, "every delay is the cap then: make the cap the longer one", &mut found);
        }
        self.not_above(
            "worker.lease",
            "worker.forsaken_after",
            "a job would be given up while it runs",
            &mut found,
        );
        self.not_above(
            "otp.resend_cooldown",
            "otp.ttl",
            "a code ends before the next one may be asked for",
            &mut found,
        );
        for (part, whole) in [
            ("http.connections_per_network", "http.connections"),
            ("otp.max_per_hour", "otp.max_per_hour_ip"),
            ("otp.max_tries", "otp.max_tries_abroad"),
            ("auth.max_failures_pair", "auth.max_failures_ip"),
        ] {
            if self.number(part) > self.number(whole) {
                let (part, whole) = (self.told(part), self.told(whole));
                found.push(format!(
                    "{part} is more than {whole}: it is never reached; lower it, or raise the other"
                ));
            }
        }
        self.limits(&mut found);
        found
    }

    fn not_above(&self, less: &str, more: &str, why: &str, found: &mut Vec<String>) {
        if self.duration(less) > self.duration(more) {
            found.push(format!("{} is longer than {}: {why}", self.told(less), self.told(more)));
        }
    }

    fn limits(&self, found: &mut Vec<String>) {
        if self.duration("mail.pause") > LONGEST_PAUSE {
            found.push(format!(
                "{} is longer than 10m, the longest pause: write 10m or less",
                self.told("mail.pause")
            ));
        }
        if self.duration("worker.lease") < SHORTEST_LEASE {
            found.push(format!(
                "{} is so short that a busy database lets leases end while their jobs run: write 10s or more",
                self.told("worker.lease")
            ));
        }
        // Who is told to stop hands his jobs back within the grace; what he cannot is free when its lease ends.
        let (grace, command) = (self.duration("shutdown.grace"), self.duration("smtp.command_timeout"));
        if self.some("smtp.host").is_some() && grace.is_zero() {
            found.push(format!(
                "{} leaves no mail the time to be answered (smtp.command_timeout is {command:?}), so a stop makes mails ambiguous: \
                 write 30s",
                self.told("shutdown.grace")
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(flags: &[(&'static str, &str)]) -> Vec<String> {
        Config::of_flags(flags).contradictions()
    }

    #[test]
    fn the_defaults_contradict_nothing_and_each_contradiction_is_told_with_key_value_and_source() {
        assert_eq!(found(&[]), Vec::<String>::new());
        for (key, value, more) in [
            ("retention.keep", "1h", None),
            ("retention.dead", "23h", None),
            ("retention.otp", "0s", None),
            ("retry.base", "2h", None),
            ("mail.retry_base", "61m", None),
            ("worker.lease", "11m", None),
            ("worker.lease", "1s", None),
            ("otp.resend_cooldown", "11m", None),
            ("http.connections_per_network", "2000", None),
            ("otp.max_per_hour", "21", None),
            ("otp.max_tries", "21", None),
            ("auth.max_failures_pair", "1001", None),
            ("mail.pause", "11m", None),
            ("shutdown.grace", "0s", Some(("smtp.host", "h"))),
        ] {
            let flags: Vec<_> = [Some((key, value)), more].into_iter().flatten().collect();
            let causes = found(&flags);
            assert_eq!(causes.len(), 1, "{key}: {causes:?}");
            assert!(causes[0].contains(&format!("{key} (flag --flag): {value:?}")), "{causes:?}");
        }
        for (key, value) in [("retention.dead", "0s"), ("shutdown.grace", "0s")] {
            assert_eq!(found(&[(key, value)]), Vec::<String>::new(), "{key}");
        }
    }
}
