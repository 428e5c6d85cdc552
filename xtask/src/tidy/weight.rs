//! How many packages a program compiles that takes this much of us, and which it must not. A library is felt at every build of
//! every user: what is added must be worth it, and what is not asked for must not come along.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::workspace;

/// What one set of features may cost.
struct Limit {
    package: &'static str,
    /// Beside those that are on by default.
    features: &'static str,
    /// Whether those are left out.
    bare: bool,
    /// The most packages, itself among them.
    most: usize,
    /// Packages of what was not asked for.
    without: &'static [&'static [&'static str]],
}

const AMQP: &[&str] = &["amq-protocol", "lapin"];
const POSTGRES: &[&str] = &["postgres-protocol", "tokio-postgres"];
const SQLITE: &[&str] = &["libsqlite3-sys", "rusqlite"];
const HASHES: &[&str] = &["argon2", "bcrypt"];
const SERVER: &[&str] = &["axum", "hyper"];
const TLS: &[&str] = &["ring", "rustls"];
const ENGINE: &[&str] = &["backshift-runtime"];

/// The limits stand a little above what was measured: a new version of a dependency may bring one package.
const LIMITS: &[Limit] = &[
    // Who only says what a job is and hands it to a broker of his own: the port and the client, without the engine.
    limit("backshift-core", "", 60, &[AMQP, POSTGRES, SQLITE, HASHES, SERVER, TLS, ENGINE]),
    // Who enqueues into the file or the database that another program works.
    limit(
        "backshift-brokers",
        "backshift-store/embedded",
        80,
        &[AMQP, POSTGRES, HASHES, SERVER, TLS, ENGINE],
    ),
    limit("backshift", "", 105, &[AMQP, POSTGRES, HASHES, SERVER, TLS]),
    limit("backshift", "postgres", 147, &[AMQP, HASHES, SERVER]),
    Limit { bare: true, ..limit("backshift", "postgres", 140, &[AMQP, SQLITE, HASHES, SERVER]) },
    limit("backshift", "rabbitmq", 215, &[POSTGRES, HASHES, SERVER]),
    limit("backshift", "ui", 190, &[AMQP, POSTGRES, HASHES]),
    limit("backshift", "mail", 165, &[AMQP, POSTGRES, HASHES, SERVER]),
    limit("backshift", "identity", 210, &[AMQP, POSTGRES]),
    limit("backshift", "probe", 107, &[AMQP, POSTGRES, HASHES, SERVER, TLS]),
];

const fn limit(
    package: &'static str,
    features: &'static str,
    most: usize,
    without: &'static [&'static [&'static str]],
) -> Limit {
    Limit { package, features, bare: false, most, without }
}

/// Findings of the whole workspace.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for limit in LIMITS {
        let mut cargo = workspace::cargo(root);
        cargo.args(["tree", "--edges", "normal", "--prefix", "none", "--package", limit.package]);
        cargo.args(["--features", limit.features]);
        if limit.bare {
            cargo.arg("--no-default-features");
        }
        found.extend(judged(limit, &workspace::run(&mut cargo)?));
    }
    Ok(found)
}

fn judged(limit: &Limit, tree: &str) -> Vec<String> {
    let packages: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    let names: BTreeSet<&str> = packages.iter().filter_map(|line| line.split(' ').next()).collect();
    let mut set = limit.package.to_owned();
    if !limit.features.is_empty() {
        set = format!("{set} with {}", limit.features);
    }
    if limit.bare {
        set = format!("{set} and nothing else");
    }
    let strangers = limit.without.concat().into_iter().filter(|name| names.contains(name));
    let mut found: Vec<String> = strangers
        .map(|name| format!("{set} compiles {name}, which belongs to a feature that was not asked for"))
        .collect();
    if packages.len() > limit.most {
        found.push(format!(
            "{set} compiles {} packages and may {}: leave one away, or say why it is worth it",
            packages.len(),
            limit.most
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{AMQP, Limit, judged, limit};

    #[test]
    fn each_package_counts_once_and_each_version_for_itself() {
        let tree = "a v1\nb v1\nb v2\nc v1\nb v1 (*)\n";
        assert!(judged(&limit("a", "", 4, &[]), tree).is_empty());
        let told = judged(&limit("a", "x", 3, &[]), tree).join("\n");
        assert!(told.starts_with("a with x compiles 4 packages and may 3"), "{told}");
    }

    #[test]
    fn a_package_of_another_feature_is_named() {
        let bare = Limit { bare: true, ..limit("a", "x", 9, &[AMQP]) };
        let told = judged(&bare, "a v1\nlapin v4.12.0\nlapin-like v1\n").join("\n");
        assert_eq!(
            told,
            "a with x and nothing else compiles lapin, which belongs to a feature that was not asked for"
        );
    }
}
