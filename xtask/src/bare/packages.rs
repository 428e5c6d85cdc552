//! Which packages a root has, read from its own records, so that nothing of the host's answers instead.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

/// The packages of a root at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Installed {
    all: BTreeSet<String>,
    /// Installed only because others need them.
    drawn: BTreeSet<String>,
}

impl Installed {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let status = std::fs::read_to_string(root.join("var/lib/dpkg/status"))
            .context("the fresh root has no record of its packages")?;
        // Missing until apt has installed something.
        let states = std::fs::read_to_string(root.join("var/lib/apt/extended_states")).unwrap_or_default();
        Ok(Self::parse(&status, &states))
    }

    fn parse(status: &str, states: &str) -> Self {
        let all = named(status, |line| line.starts_with("Status: ") && line.ends_with(" installed"));
        Self { all, drawn: named(states, |line| line == "Auto-Installed: 1") }
    }

    /// What came since: asked for, and drawn in by that.
    pub(super) fn since<'a>(&'a self, before: &'a Self) -> (Vec<&'a str>, Vec<&'a str>) {
        self.all.difference(&before.all).map(String::as_str).partition(|name| !self.drawn.contains(*name))
    }
}

/// The names of the paragraphs that have such a line.
fn named(text: &str, mark: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let paragraphs = text.split("\n\n").filter(|paragraph| paragraph.lines().any(&mark));
    let name = |paragraph: &str| {
        paragraph.lines().find_map(|line| line.strip_prefix("Package: ")).map(str::to_owned)
    };
    paragraphs.filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::Installed;

    #[test]
    fn what_was_asked_for_and_what_came_with_it_are_told_apart() {
        let before = Installed::parse("Package: dash\nStatus: install ok installed\n", "");
        let status = "Package: dash\nStatus: install ok installed\n\nPackage: redis-server\nStatus: install ok installed\n\n\
                      Package: libjemalloc2\nStatus: install ok installed\n\nPackage: gone\nStatus: deinstall ok config-files\n";
        let after =
            Installed::parse(status, "Package: libjemalloc2\nArchitecture: amd64\nAuto-Installed: 1\n");
        assert_eq!(after.since(&before), (vec!["redis-server"], vec!["libjemalloc2"]));
    }
}
