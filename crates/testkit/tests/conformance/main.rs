//! Runs the conformance suites on everything that this workspace ships and prints the table.
//!
//! `cargo test -p backshift-testkit --test conformance -- rabbitmq B3_` runs the cases whose `subject::name`
//! contains one of the words. The result of a whole run is also written to `conformance.json` in the target directory.

mod ledger_brokers;
mod rabbitmq;
mod stores;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use backshift_brokers::rabbitmq::QueueType;
use backshift_testkit::{
    conformance::{self, MemoryHarness, Plan, Report},
    reaper, servers,
};

use ledger_brokers::{Embedded, Postgres};
use rabbitmq::{RabbitMq, RabbitMqWith};
use stores::{PostgresStores, SqliteStores};

#[tokio::main]
async fn main() -> ExitCode {
    let only = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let plan = Plan { only, ..Plan::default() };
    let begun = Instant::now();
    let mut report = Report::default();
    memory(&plan, &mut report).await;
    embedded(&plan, &mut report).await;
    postgres(&plan, &mut report).await;
    rabbitmq(&plan, &mut report).await;
    // The end of the run, and nothing before it, waits for the databases to be dropped.
    let cleared = tokio::task::spawn_blocking(|| reaper::finish(Duration::from_secs(60))).await;
    if !cleared.unwrap_or(false) {
        eprintln!("some databases of this run stay behind");
    }
    print!("{report}");
    println!("\n{} cases in {} s", report.lines.len(), begun.elapsed().as_secs());
    let path = target_directory().join("conformance.json");
    if plan.only.is_empty()
        && let Err(error) = report.write(&path)
    {
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
        add(report, conformance::broker_suite(harness, plan).await);
        add(report, conformance::engine_suite(harness, plan).await);
    }
    add(report, conformance::store_suite(MemoryHarness::Ledger, plan).await);
}

async fn embedded(plan: &Plan, report: &mut Report) {
    add(report, conformance::store_suite(SqliteStores, plan).await);
    add(report, conformance::broker_suite(Embedded, plan).await);
    add(report, conformance::engine_suite(Embedded, plan).await);
}

async fn postgres(plan: &Plan, report: &mut Report) {
    let Some(server) = servers::require("POSTGRES_URL") else { return };
    // Each case makes a database of its own, which is what the server is slow at.
    let plan = &Plan { at_once: 3, ..plan.clone() };
    let mut doors = vec![("postgres", server.clone())];
    doors.extend(servers::require("PGBOUNCER_URL").map(|door| ("postgres-pooled", door)));
    for (name, door) in doors {
        let stores = PostgresStores::new(name, server.clone(), door).await;
        add(report, conformance::store_suite(stores.clone(), plan).await);
        add(report, conformance::broker_suite(Postgres(stores.clone()), plan).await);
        add(report, conformance::engine_suite(Postgres(stores), plan).await);
    }
}

async fn rabbitmq(plan: &Plan, report: &mut Report) {
    let servers = [
        ("rabbitmq-3", "RABBITMQ_URL", QueueType::Quorum),
        ("rabbitmq-3-classic", "RABBITMQ_URL", QueueType::Classic),
        ("rabbitmq-4", "RABBITMQ4_URL", QueueType::Quorum),
    ];
    for (name, variable, queues) in servers {
        let Some(url) = servers::require(variable) else { continue };
        let broker = RabbitMq { name, url, queues };
        add(report, conformance::broker_suite(broker.clone(), plan).await);
        if name != "rabbitmq-3" {
            continue;
        }
        let on_sqlite = RabbitMqWith { broker: broker.clone(), stores: SqliteStores };
        add(report, conformance::engine_suite(on_sqlite, plan).await);
        if let Some(server) = servers::require("POSTGRES_URL") {
            let stores = PostgresStores::new("postgres", server.clone(), server).await;
            add(report, conformance::engine_suite(RabbitMqWith { broker, stores }, plan).await);
        }
    }
}

/// Adds a suite's result and says so: the whole run takes minutes, and a person wants to see it move.
fn add(report: &mut Report, suite: Report) {
    if let Some(line) = suite.lines.first() {
        let failed = suite.failures().count();
        eprintln!("{:<7} {:<24} {} cases, {failed} failed", line.suite, line.subject, suite.lines.len());
    }
    for line in suite.failures() {
        eprintln!("    {}: {}", line.name, line.detail.as_deref().unwrap_or_default());
    }
    report.extend(suite);
}

/// The target directory that this test was built into.
fn target_directory() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    test.ancestors().nth(3).map(PathBuf::from).unwrap_or_default()
}
