//! A backlog while nobody listens at the mail server's port: a breaker opens, attempts are not burnt, memory stays.
//!
//! `BACKSHIFT_SURVIVE_BACKLOG` says how many mails wait, 300 when it is not set.

use std::time::{Duration, Instant};

use backshift_testkit::{pace, wait};
use futures::future::join_all;

use super::ledger;
use crate::scene::{PATIENCE, SystemC, Worker};

/// Mails in a row that reach nobody before the breaker opens, and as many that were under way meanwhile.
const COUNTED: i32 = 20;
/// What a backlog may add to a worker's memory.
const GROWTH_KIB: u64 = 40 * 1024;

/// Resident memory and its peak, in KiB.
fn memory(worker: &Worker, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.process.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn publish(system: &SystemC, mails: usize) {
    let addresses: Vec<String> = (0..mails).map(|n| format!("waits{n}@example.com")).collect();
    for window in addresses.chunks(100) {
        join_all(window.iter().map(|to| system.vhost.publish_mail(to, "patience"))).await;
    }
}

#[tokio::test]
async fn a_backlog_waits_for_a_server_that_is_away_and_flows_when_it_is_back() {
    let wanted = std::env::var("BACKSHIFT_SURVIVE_BACKLOG").ok();
    let mails = wanted.map_or(300, |text| text.parse().expect("BACKSHIFT_SURVIVE_BACKLOG is a number"));
    let Some(mut system) = SystemC::new().await else { return };
    system.smtp.stop().await;
    let worker = system.worker().await;
    let idle = memory(&worker, "VmRSS");
    publish(&system, mails).await;
    worker.wait_metric("mail_transport_paused", 1.0).await;
    let probed = wait::until(PATIENCE, || async {
        worker.output().matches("the mail transport stays paused").count() >= 5
    });
    assert!(probed.await, "the breaker is probed\n{}", worker.output());
    let counted: i32 = ledger::rows(&system.database).await.values().map(|row| row.failures).sum();
    assert!(counted <= COUNTED, "{counted} attempts were burnt by a server that is away");
    assert_eq!(worker.get("/healthz").await.unwrap().status, 200, "alive all the while");

    let back = Instant::now();
    system.smtp.restart().await;
    let first = wait::until(PATIENCE, || async { system.smtp.number() > 0 });
    assert!(first.await, "{}", worker.output());
    let first = back.elapsed();
    assert!(
        first < pace::stretched(Duration::from_secs(10)),
        "the first mail came {first:?} after the server was back"
    );
    let patience = PATIENCE + Duration::from_millis(10 * mails as u64);
    let all = wait::until(patience, || async { system.smtp.number() >= mails }).await;
    assert!(all, "{} of {mails}\n{}", system.smtp.number(), worker.output());
    let done = wait::until(PATIENCE, || async {
        ledger::rows(&system.database).await.values().filter(|row| row.status == "completed").count() == mails
    });
    assert!(done.await, "{}", worker.output());
    assert_eq!(system.smtp.number(), mails, "each once");
    let peak = memory(&worker, "VmHWM");
    println!(
        "{mails} mails waited: {counted} attempts counted, first mail {first:?} after the server was back"
    );
    println!("memory: {idle} KiB idle, {peak} KiB at most");
    assert!(peak < idle + GROWTH_KIB, "memory grew from {idle} to {peak} KiB");
    assert_eq!(worker.drained().await, Some(0));
}
