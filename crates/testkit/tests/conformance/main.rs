//! Runs the conformance suites on everything that this workspace ships and prints the table.
//!
//! `cargo test -p backshift-testkit --test conformance -- rabbitmq B3_` runs the cases whose `subject::name`
//! contains one of the words. The result is also written to `target/conformance.json`.

use std::{path::PathBuf, process::ExitCode};

use backshift_testkit::conformance::{self, MemoryHarness, Plan, Report};

#[tokio::main]
async fn main() -> ExitCode {
    let only = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let plan = Plan { only, ..Plan::default() };
    let mut report = Report::default();
    memory(&plan, &mut report).await;
    print!("{report}");
    let path = target_directory().join("conformance.json");
    if let Err(error) = report.write(&path) {
        eprintln!("{} cannot be written: {error}", path.display());
        return ExitCode::FAILURE;
    }
    match report.failures().count() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

async fn memory(plan: &Plan, report: &mut Report) {
    for harness in [MemoryHarness::Foreign, MemoryHarness::Ledger] {
        report.extend(conformance::broker_suite(harness, plan).await);
    }
    report.extend(conformance::store_suite(MemoryHarness::Ledger, plan).await);
}

/// The target directory that this test was built into.
fn target_directory() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    test.ancestors().nth(3).map(PathBuf::from).unwrap_or_default()
}
