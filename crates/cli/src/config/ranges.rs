//! Settings that are each allowed and contradict each other. `doctor` calls them problems; a start warns and goes on.
//!
//! Nothing here is refused at load: a `retry.cap` below the default base is odd, and yet says what is wanted.

use std::time::Duration;

use backshift_core::store::KEPT_AT_LEAST;

use super::Config;

/// Three heartbeats must fit into a lease, and a database may be busy for a second.
const SHORTEST_LEASE: Duration = Duration::from_secs(3);

impl Config {
    /// What contradicts what, one text a cause: setting, source, value, remedy.
    pub(crate) fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        for key in ["retention.keep", "retention.dead"] {
            let (keep, for_ever) = (self.duration(key), key == "retention.dead");
            if keep < KEPT_AT_LEAST && !(for_ever && keep.is_zero()) {
                found.push(format!(
                    "{} is less than a day, and a day is kept: write 1d or more",
                    self.told(key)
                ));
            }
        }
        let always = "every delay is the cap then: make the cap the longer one";
        self.not_above("retry.base", "retry.cap", always, &mut found);
        self.not_above(
            "worker.lease",
            "worker.forsaken_after",
            "a job would be given up while it runs",
            &mut found,
        );
        self.never_reached("http.connections_per_network", "http.connections", &mut found);
        if self.duration("worker.lease") < SHORTEST_LEASE {
            found.push(format!(
                "{} is so short that a busy database lets leases end while their jobs run: write 10s or more",
                self.told("worker.lease")
            ));
        }
        found
    }

    /// A time that is longer than the one that ends it.
    pub(crate) fn not_above(&self, less: &str, more: &str, why: &str, found: &mut Vec<String>) {
        if self.duration(less) > self.duration(more) {
            found.push(format!("{} is longer than {}: {why}", self.told(less), self.told(more)));
        }
    }

    /// A number of a part that is more than that of the whole.
    pub(crate) fn never_reached(&self, part: &str, whole: &str, found: &mut Vec<String>) {
        if self.number(part) > self.number(whole) {
            let (part, whole) = (self.told(part), self.told(whole));
            found.push(format!(
                "{part} is more than {whole}: it is never reached; lower it, or raise the other"
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
        for (key, value) in [
            ("retention.keep", "1h"),
            ("retention.dead", "23h"),
            ("retry.base", "2h"),
            ("worker.lease", "11m"),
            ("worker.lease", "1s"),
            ("http.connections_per_network", "2000"),
        ] {
            let causes = found(&[(key, value)]);
            assert_eq!(causes.len(), 1, "{key}: {causes:?}");
            assert!(causes[0].contains(&format!("{key} (flag --flag): {value:?}")), "{causes:?}");
        }
        for (key, value) in [("retention.dead", "0s"), ("shutdown.grace", "0s")] {
            assert_eq!(found(&[(key, value)]), Vec::<String>::new(), "{key}");
        }
    }
}
