//! docs/contracts/probe.md: every mode of the probe on every broker, and what a killed process leaves.

use backshift_testkit::{servers::TestDatabase, wait};
use serde_json::Value;

use crate::scene::{
    PATIENCE, Place, Vhost, Worker, backshift, backshift_fed, probe, probe_settings, stretched,
};

/// What a mode must come to: state, attempt, starts, effects.
type Row = (&'static str, u64, u32, &'static str, u64, usize, usize);

const MODES: [Row; 9] = [
    ("ok", 0, 0, "completed", 1, 1, 1),
    ("sleep", 30, 0, "completed", 1, 1, 1),
    ("block", 30, 0, "completed", 1, 1, 1),
    ("fail", 0, 2, "completed", 3, 3, 1),
    ("fail", 1, 9, "dead", 3, 3, 0),
    ("panic", 0, 1, "completed", 2, 2, 1),
    ("panic", 1, 9, "dead", 3, 3, 0),
    ("permanent", 0, 0, "dead", 1, 1, 0),
    ("snooze", 50, 4, "completed", 1, 5, 1),
];

async fn every_mode(place: Place) {
    place.migrate().await;
    let keys: Vec<String> = MODES.iter().enumerate().map(|(n, row)| format!("{n}-{}", row.0)).collect();
    let lines: Vec<Value> =
        keys.iter().zip(MODES).map(|(key, row)| probe(key, row.0, row.1, row.2)).collect();
    let ids = place.enqueue(&lines).await;
    let worker = place.worker("probes:4").await;
    for ((id, key), (.., state, attempt, starts, effects)) in ids.iter().zip(&keys).zip(MODES) {
        let job = place.wait_state(id, state).await;
        assert_eq!(job["attempt"], attempt, "{key}: {job:#}");
        assert_eq!(place.count("attempts", key).await, starts, "{key}: {job:#}");
        assert_eq!(place.count("effects", key).await, effects, "{key}");
        assert_eq!(job["attempts"].as_array().unwrap().len(), starts, "{key}: every start is a row: {job:#}");
    }
    let dead = place.run(&["jobs", "list", "--json", "--state", "dead"]).await.done().list();
    assert_eq!(dead.len(), 3);
    let mut tokens: Vec<i64> =
        place.probes("attempts").await.iter().filter(|row| row.0 == "8-snooze").map(|row| row.2).collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 5, "every start raises the token");
    assert!(!worker.output().is_empty());
    assert_eq!(worker.drained().await, Some(0));
}

#[tokio::test]
async fn every_mode_on_the_embedded_broker() {
    every_mode(Place::embedded()).await;
}

#[tokio::test]
async fn every_mode_on_postgres() {
    let Some(place) = Place::postgres().await else { return };
    every_mode(place).await;
}

#[tokio::test]
async fn every_mode_on_rabbitmq() {
    let Some(place) = Place::rabbitmq().await else { return };
    every_mode(place).await;
}

/// A crash takes the process along; whoever supervises starts it again.
async fn crashes(place: Place) {
    let place = place.with(&[("BACKSHIFT_WORKER_LEASE", &stretched(1_000))]);
    place.migrate().await;
    let ids = place.enqueue(&[probe("crash", "crash", 0, 2)]).await;
    for _ in 0..2 {
        // It may be over before it was ready.
        let mut worker = place.start("probes:2");
        let ended =
            worker.process.ended(PATIENCE).await.unwrap_or_else(|| panic!("it crashes\n{}", worker.output()));
        assert_eq!(ended.code(), None, "by a signal");
    }
    let worker = place.worker("probes:2").await;
    let job = place.wait_state(&ids[0], "completed").await;
    assert_eq!(job["attempt"], 1, "a crash counts no attempt: {job:#}");
    assert_eq!(
        (place.count("attempts", "crash").await, place.count("effects", "crash").await),
        (3, 1),
        "{}",
        worker.output()
    );
}

#[tokio::test]
async fn crashes_on_the_embedded_broker() {
    crashes(Place::embedded()).await;
}

#[tokio::test]
async fn crashes_on_postgres() {
    let Some(place) = Place::postgres().await else { return };
    crashes(place).await;
}

#[tokio::test]
async fn crashes_on_rabbitmq() {
    let Some(place) = Place::rabbitmq().await else { return };
    crashes(place).await;
}

/// Killed in the middle of many jobs: every effect once, no attempt counted.
async fn killed(place: Place) {
    let place = place.with(&[("BACKSHIFT_WORKER_LEASE", &stretched(2_000))]);
    place.migrate().await;
    let many: Vec<Value> = (0..60).map(|n| probe(&format!("k{n}"), "sleep", 60, 0)).collect();
    let ids = place.enqueue(&many).await;
    let doomed = place.worker("probes:4").await;
    let midway = wait::until(PATIENCE, || async { place.probes("effects").await.len() >= 10 });
    assert!(midway.await, "{}", doomed.output());
    doomed.process.kill().await;
    let survivor = place.worker("probes:8").await;
    let all = wait::until(PATIENCE, || async { place.probes("effects").await.len() >= ids.len() });
    assert!(all.await, "{} effects\n{}", place.probes("effects").await.len(), survivor.output());
    for n in 0..60 {
        assert_eq!(place.count("effects", &format!("k{n}")).await, 1, "k{n}");
    }
    let completed = ["jobs", "list", "--json", "--limit", "500", "--state", "completed"];
    let finished =
        wait::until(PATIENCE, || async { place.run(&completed).await.done().list().len() == ids.len() });
    assert!(finished.await, "{}", survivor.output());
    let jobs = place.run(&completed).await.done().list();
    assert!(jobs.iter().all(|job| job["attempt"] == 1), "a kill counts no attempt");
    assert_eq!(survivor.drained().await, Some(0));
    assert_eq!(place.probes("effects").await.len(), 60);
}

#[tokio::test]
async fn a_killed_worker_on_the_embedded_broker() {
    killed(Place::embedded()).await;
}

#[tokio::test]
async fn a_killed_worker_on_postgres() {
    let Some(place) = Place::postgres().await else { return };
    killed(place).await;
}

#[tokio::test]
async fn a_killed_worker_on_rabbitmq() {
    let Some(place) = Place::rabbitmq().await else { return };
    killed(place).await;
}

#[tokio::test]
async fn without_a_store_effects_are_lines_of_a_file() {
    let Some(vhost) = Vhost::create().await else { return };
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("effects.jsonl");
    let settings = probe_settings().with(&[("BACKSHIFT_PROBE_LOG", log.to_str().unwrap())]);
    let arguments = ["worker", "--broker", vhost.url(), "--queue", "probes:4", "--no-store"];
    let worker = Worker::ready(&arguments, &settings).await;
    let lines: Vec<String> = (0..20)
        .map(|n| probe(&format!("l{n}"), if n == 0 { "fail" } else { "ok" }, 0, 1).to_string())
        .collect();
    let database = TestDatabase::create().await.unwrap();
    backshift(&["migrate", "up", "--store", &database.url()], &settings.pairs()).await.done();
    let arguments = ["enqueue", "--stdin", "--json", "--broker", vhost.url(), "--store", &database.url()];
    assert_eq!(backshift_fed(&arguments, &settings.pairs(), &lines.join("\n")).await.done().list().len(), 20);
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    let all = wait::until(PATIENCE, || async { read().lines().count() >= 20 }).await;
    assert!(all, "{}\n{}", read(), worker.output());
    let mut keys: Vec<String> = read()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].as_str().unwrap().to_owned())
        .collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 20);
    assert_eq!(worker.drained().await, Some(0));
}
