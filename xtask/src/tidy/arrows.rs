//! Who may know whom: `cli → {domains → http, brokers, runtime} → {store, mail} → core`. Development dependencies are
//! free, except where an ordinary way leads back: then unit tests would see two different copies of one type. Testkit
//! is exempt: integration tests use it everywhere, and a unit test that did would not compile.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

/// Crates of ours that a crate may depend on.
const MAY_USE: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("store", &["core"]),
    ("mail", &["core"]),
    ("runtime", &["core", "store", "mail"]),
    ("brokers", &["core", "store", "mail"]),
    ("http", &["core", "store", "mail"]),
    ("domains", &["core", "store", "mail", "http"]),
    ("cli", &["core", "store", "mail", "runtime", "brokers", "http", "domains"]),
    ("backshift", &["core", "store", "mail", "runtime", "brokers", "http", "domains"]),
    ("servers", &[]),
    ("testkit", &["servers", "core", "store", "mail", "runtime", "brokers", "http", "domains"]),
    ("xtask", &["servers"]),
];

/// Programs that stand outside of the house and may use all of it.
const OUTSIDE: &[&str] = &["benches", "examples", "fuzz-targets"];

/// Client libraries and servers: each has its room, and none of them is `core`.
const NOT_IN_CORE: &[&str] = &[
    "async-nats",
    "axum",
    "deadpool-postgres",
    "diesel",
    "fred",
    "hyper",
    "lapin",
    "lettre",
    "rdkafka",
    "redis",
    "reqwest",
    "rusqlite",
    "rustls",
    "sea-orm",
    "sqlx",
    "tokio-postgres",
    "tower",
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None`, `dev` or `build`.
    kind: Option<String>,
    /// Set for our own crates.
    path: Option<String>,
    #[serde(default)]
    optional: bool,
}

/// Findings in the output of `cargo metadata --no-deps`.
pub(crate) fn check(metadata: &str) -> Result<Vec<String>> {
    let metadata: Metadata = serde_json::from_str(metadata).context("cargo metadata is not understood")?;
    let mut found = Vec::new();
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut dev_edges = Vec::new();
    for package in &metadata.packages {
        let from = short(&package.name);
        for dependency in &package.dependencies {
            let to = short(&dependency.name);
            let dev = dependency.kind.as_deref() == Some("dev");
            if dependency.path.is_some() && dev {
                dev_edges.push((from, to));
            } else if dependency.path.is_some() {
                edges.entry(from).or_default().push(to);
                // A user's tests reach it by a feature of the façade.
                if !(from == "backshift" && to == "testkit" && dependency.optional) {
                    found.extend(forbidden(from, to));
                }
            } else if from == "core" && !dev && NOT_IN_CORE.contains(&to) {
                found.push(format!("core depends on {to}: core knows no client library"));
            }
        }
    }
    let dev_edges = dev_edges.into_iter().filter(|(_, to)| *to != "testkit");
    found.extend(dev_edges.filter_map(|(from, to)| circle(&edges, from, to)));
    Ok(found)
}

fn short(name: &str) -> &str {
    name.strip_prefix("backshift-").unwrap_or(name)
}

fn forbidden(from: &str, to: &str) -> Option<String> {
    if OUTSIDE.contains(&from) {
        return None;
    }
    if to == "testkit" {
        return Some(format!("{from} depends on testkit: make it a dev-dependency"));
    }
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == from) else {
        return Some(format!("{from} is a new crate: say in xtask/src/tidy/arrows.rs what it may use"));
    };
    let list = if allowed.is_empty() { "none of ours".to_owned() } else { allowed.join(", ") };
    (!allowed.contains(&to)).then(|| format!("{from} depends on {to}: against the arrows, it may use {list}"))
}

/// The way from `to` back to `from` over ordinary dependencies, which a development dependency `from → to` closes to
/// a circle: then the unit tests of `from` see its types twice. (Two crates whose tests use each other are fine.)
fn circle(edges: &BTreeMap<&str, Vec<&str>>, from: &str, to: &str) -> Option<String> {
    let mut paths: Vec<Vec<&str>> = vec![vec![to]];
    while let Some(path) = paths.pop() {
        for next in path.last().and_then(|last| edges.get(last)).into_iter().flatten() {
            if *next == from {
                let way = path.join(" → ");
                return Some(format!(
                    "{from} → {way} → {from}: its unit tests would see {from} twice; move the test"
                ));
            }
            if !path.contains(next) {
                paths.push(path.iter().copied().chain([*next]).collect());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::check;

    /// `from -> to`, with `dev` in front for development dependencies.
    fn findings(edges: &[&str]) -> Vec<String> {
        let packages: Vec<String> = edges
            .iter()
            .map(|edge| {
                let (kind, edge) = edge.strip_prefix("dev ").map_or(("null", *edge), |rest| ("\"dev\"", rest));
                let (from, to) = edge.split_once(" -> ").unwrap();
                let path = if to == "lapin" { "null" } else { "\"p\"" };
                format!(
                    r#"{{"name":"backshift-{from}","dependencies":[{{"name":"backshift-{to}","kind":{kind},"path":{path}}}]}}"#
                )
            })
            .collect();
        check(&format!(r#"{{"packages":[{}]}}"#, packages.join(","))).unwrap()
    }

    #[test]
    fn the_house_as_designed_is_in_order() {
        let edges =
            ["cli -> http", "http -> store", "store -> core", "brokers -> core", "dev brokers -> testkit"];
        assert!(findings(&edges).is_empty());
    }

    #[test]
    fn neighbours_and_upward_arrows_are_found() {
        for edge in ["runtime -> brokers", "core -> store", "store -> mail", "http -> cli", "core -> lapin"] {
            assert_eq!(findings(&[edge]).len(), 1, "{edge}");
        }
    }

    #[test]
    fn testkit_is_for_development_only() {
        assert!(findings(&["store -> testkit"])[0].contains("dev-dependency"));
        assert!(findings(&["dev store -> testkit", "benches -> testkit"]).is_empty());
    }

    #[test]
    fn a_dev_dependency_that_leads_back_is_found() {
        let found = findings(&["dev store -> mail", "mail -> core", "core -> store"]);
        assert!(found.iter().any(|text| text.starts_with("store → mail → core → store")), "{found:?}");
        assert!(findings(&["dev runtime -> testkit", "testkit -> runtime"]).is_empty());
    }

    #[test]
    fn tests_may_use_each_other() {
        assert!(
            findings(&["dev brokers -> testkit", "dev testkit -> brokers", "testkit -> core"]).is_empty()
        );
    }

    #[test]
    fn a_new_crate_needs_its_arrows() {
        assert!(findings(&["parcel -> core"])[0].contains("new crate"));
    }
}
