//! What an operator reads while a database is away: about one line a second, and "well again" when it is true.
//!
//! PostgreSQL is this test's own; it is the broker of one worker and the ledger of another, which reads RabbitMQ.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use backshift_testkit::{
    servers::{Postgres, PrivateServer, TestDatabase, require},
    wait,
};
use serde_json::Value;

use crate::{
    faults::{Load, nothing_left},
    scene::{PATIENCE, Place, Vhost},
};

const QUEUE: &str = "outage-log";
const JOBS: usize = 60;
const OUTAGE: Duration = Duration::from_secs(10);
/// Every connection of the pool says once that it ended and once that it cannot be used again, and so does the lost sign
/// of life.
const AT_THE_TURN: usize = 18;
const A_SECOND: f64 = 1.5;
const SHORT_ONES: usize = 5;

fn complaints(lines: &[Value]) -> usize {
    lines.iter().filter(|line| line["level"] == "warn" || line["level"] == "error").count()
}

/// How often each part called itself well again.
fn well_again(lines: &[Value]) -> BTreeMap<String, usize> {
    let mut parts = BTreeMap::new();
    for line in lines.iter().filter(|line| line["msg"] == "well again") {
        *parts.entry(line["part"].to_string()).or_default() += 1;
    }
    parts
}

async fn outage(mut server: PrivateServer, place: Place) {
    place.migrate().await;
    let load = Load::accepted(&place, QUEUE, JOBS, "sleep", 250).await;
    let worker = place.worker(&format!("{QUEUE}:4")).await;
    load.wait_effects(&place, 8, &worker).await;
    let (begun, before) = (Instant::now(), worker.log().len());
    server.stop().await;
    let gone = worker.log().len();
    worker.answers(503, &[]).await;
    assert!(wait::until(PATIENCE, || async { begun.elapsed() >= OUTAGE }).await);
    let (lasted, log) = (begun.elapsed(), worker.log());
    server.resurrect().await.unwrap();
    let lines = complaints(&log[before..]);
    println!("{lines} lines in an outage of {lasted:?}");
    let most = AT_THE_TURN + (lasted.as_secs_f64() * A_SECOND) as usize;
    assert!(lines <= most, "{lines} lines in {lasted:?}, not {most}\n{}", worker.output());
    assert!(lines >= 3, "an outage of {lasted:?} is {lines} lines in the log\n{}", worker.output());
    let well = well_again(&log[gone..]);
    assert!(well.is_empty(), "well again while the server was away: {well:?}\n{}", worker.output());
    load.settles(&place, &worker).await;
    worker.answers(200, &[]).await;
    let said = wait::until(PATIENCE, || async { !well_again(&worker.log()[log.len()..]).is_empty() }).await;
    assert!(said, "nobody says that it is well again\n{}", worker.output());
    let well = well_again(&worker.log()[log.len()..]);
    assert!(
        well.values().all(|times| *times == 1),
        "well again more than once: {well:?}\n{}",
        worker.output()
    );
    // Who takes the sign of life again, its keeper or who announces, is a matter of luck: nobody may wait for it for ever.
    for _ in 0..SHORT_ONES {
        server.stop().await;
        let met = wait::until(PATIENCE, || async {
            worker.get("/readyz").await.is_some_and(|answer| answer.body.contains("store announcement"))
        });
        assert!(met.await, "{:?}\n{}", worker.get("/readyz").await, worker.output());
        server.resurrect().await.unwrap();
        worker.answers(200, &[]).await;
    }
    assert_eq!(worker.drained().await, Some(0));
    nothing_left(&place, QUEUE).await;
}

#[tokio::test]
async fn a_stopped_broker_is_about_a_line_a_second() {
    if require("POSTGRES_URL").is_none() {
        return;
    }
    let server = PrivateServer::start(&Postgres).await.unwrap();
    let place = Place::in_database(TestDatabase::create_on(&server.url()).await, None);
    outage(server, place).await;
}

#[tokio::test]
async fn a_stopped_ledger_is_about_a_line_a_second() {
    let Some(vhost) = Vhost::create().await else { return };
    let server = PrivateServer::start(&Postgres).await.unwrap();
    let place = Place::in_database(TestDatabase::create_on(&server.url()).await, Some(vhost));
    outage(server, place).await;
}
