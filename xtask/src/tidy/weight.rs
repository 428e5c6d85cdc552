//! How many packages a program compiles that takes this much of us. A library is felt at every build of every user: what is added
//! must be worth it, and what is not asked for must not come along.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::workspace;

/// Package, features, and the most packages that it may bring, itself among them.
const LIMITS: &[(&str, &str, usize)] = &[
    ("backshift-core", "", 60),
    ("backshift", "", 170),
    ("backshift", "rabbitmq", 235),
    ("backshift", "ui", 210),
];

/// Findings of the whole workspace.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (package, features, most) in LIMITS {
        let mut cargo = workspace::cargo(root);
        cargo.args([
            "tree",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--package",
            package,
            "--features",
            features,
        ]);
        found.extend(judged(package, features, *most, &workspace::run(&mut cargo)?));
    }
    Ok(found)
}

fn judged(package: &str, features: &str, most: usize, tree: &str) -> Option<String> {
    let packages: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    let with = if features.is_empty() { String::new() } else { format!(" with {features}") };
    (packages.len() > most).then(|| {
        format!(
            "{package}{with} compiles {} packages and may {most}: leave one away, or say why it is worth it",
            packages.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::judged;

    #[test]
    fn each_package_counts_once_and_each_version_for_itself() {
        let tree = "a v1\nb v1\nb v2\nc v1\nb v1 (*)\n";
        assert_eq!(judged("a", "", 4, tree), None);
        let told = judged("a", "x", 3, tree).unwrap();
        assert!(told.starts_with("a with x compiles 4 packages and may 3"), "{told}");
    }
}
