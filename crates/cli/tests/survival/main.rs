//! A small fixed run of the fault runner on each broker: real workers and private servers, killed under load.
//!
//! The large runs are `cargo xtask survive`; docs/guides/survival.md has their reports.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::time::Duration;

use backshift_testkit::{
    process::backshift_binary,
    servers::require,
    survival::{Fault, Ground, Plan, Point, Probes, Stage, Survival, WorkerProgram},
};

const JOBS: u64 = 400;

fn plan() -> Plan {
    Plan::seeded(1).with(3, Fault::KillWorker)
}

async fn holds(ground: Ground, plan: Plan) {
    let program = WorkerProgram::backshift(backshift_binary(), 8);
    let stage = Stage::open(ground).await.unwrap();
    let mut run = Survival::new(stage, program, Probes::new(backshift_binary())).jobs(JOBS).plan(plan);
    if !ground.servers.is_empty() {
        run = run.proxied();
    }
    let report = run.run().await.unwrap();
    println!("{report}");
    assert!(report.holds(), "{report}\n{:#?}", report.outputs);
    assert_eq!(report.reconciliation.accepted, JOBS);
    assert!(report.reconciliation.starts > JOBS, "nothing was in flight when it was killed: {report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_survives_killed_workers() {
    holds(Ground::EMBEDDED, plan().with(1, Fault::KillAllWorkers)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_survives_killed_workers_and_a_killed_server() {
    if require("POSTGRES_URL").is_none() {
        return;
    }
    let plan = plan()
        .with(1, Fault::KillServer(Duration::from_millis(500)))
        .with(1, Fault::KillWorkerAt(Point::BeforeEffect))
        .with(1, Fault::KillWorkerAt(Point::AfterEffect));
    holds(Ground::POSTGRES, plan).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_survives_killed_workers_and_a_killed_server() {
    if require("RABBITMQ_URL").is_none() {
        return;
    }
    let plan = plan()
        .with(1, Fault::KillServer(Duration::from_millis(500)))
        .with(1, Fault::KillWorkerAt(Point::AfterEffect))
        .with(1, Fault::KillWorkerAt(Point::BeforeAck));
    holds(Ground::RABBITMQ, plan).await;
}
