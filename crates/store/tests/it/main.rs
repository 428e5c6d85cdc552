//! The database layer and the store on real servers and files. Each test has a database or a file of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
#![allow(unreachable_pub, reason = "one binary: its modules share what they need")]

mod accepting;
mod claiming;
mod connections;
mod control;
mod counting;
mod crashes;
mod deliveries;
mod durability;
mod files;
mod finishing;
mod forsaken;
mod kinds;
mod line;
mod liveness;
mod migrations;
mod place;
mod plans;
mod pooled;
mod prepared;
mod processes;
mod relay;
mod running;
mod schemas;
mod searching;
mod statements;
mod steering;
mod sweeping;
mod taken;
mod tls;
mod transactions;
mod wake_ups;
mod world;

/// How many pages a statement touched, by its `EXPLAIN (ANALYZE, BUFFERS)`, and the plan.
fn pages(plan: &[String]) -> (u64, String) {
    let line = plan.iter().find(|line| line.contains("Buffers: shared")).unwrap();
    let numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u64>().ok());
    (numbers.sum(), plan.join("\n"))
}
