//! Settings that are each allowed and contradict each other. `doctor` calls them problems; a start warns and goes on.
//!
//! Nothing here is refused at load: a `retry.cap` below the default base is odd, and yet says what is wanted.

use std::time::Duration;

use backshift_core::store::KEPT_AT_LEAST;

use super::{
    Config,
    key::{Key, Value},
    keys,
};

/// Three heartbeats must fit into a lease, and a database may be busy for a second.
const SHORTEST_LEASE: Duration = Duration::from_secs(3);

impl Config {
    /// What contradicts what, one text a cause: setting, source, value, remedy.
    pub(crate) fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (key, for_ever) in [(&keys::RETENTION_KEEP, false), (&keys::RETENTION_DEAD, true)] {
            let keep = self.get(key);
            if keep < KEPT_AT_LEAST && !(for_ever && keep.is_zero()) {
                found.push(format!(
                    "{} is less than a day, and a day is kept: write 1d or more",
                    self.told(key)
                ));
            }
        }
        let always = "every delay is the cap then: make the cap the longer one";
        self.not_above(&keys::RETRY_BASE, &keys::RETRY_CAP, always, &mut found);
        self.not_above(
            &keys::WORKER_LEASE,
            &keys::WORKER_FORSAKEN_AFTER,
            "a job would be given up while it runs",
            &mut found,
        );
        self.never_reached(&keys::HTTP_CONNECTIONS_PER_NETWORK, &keys::HTTP_CONNECTIONS, &mut found);
        if self.get(&keys::WORKER_LEASE) < SHORTEST_LEASE {
            found.push(format!(
                "{} is so short that a busy database lets leases end while their jobs run: write 10s or more",
                self.told(&keys::WORKER_LEASE)
            ));
        }
        found
    }

    /// A time that is longer than the one that ends it.
    pub(crate) fn not_above(
        &self,
        less: &Key<Duration>,
        more: &Key<Duration>,
        why: &str,
        found: &mut Vec<String>,
    ) {
        if self.get(less) > self.get(more) {
            found.push(format!("{} is longer than {}: {why}", self.told(less), self.told(more)));
        }
    }

    /// A number of a part that is more than that of the whole.
    pub(crate) fn never_reached<T>(&self, part: &Key<T>, whole: &Key<T>, found: &mut Vec<String>)
    where
        T: for<'a> Value<Of<'a> = T> + PartialOrd,
    {
        if self.get(part) > self.get(whole) {
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
