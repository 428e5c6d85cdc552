//! Processes that die: what they had accepted and what they had begun goes on elsewhere, soon.

use std::time::{Duration, Instant};

use backshift_core::store::CRASHES_BEFORE_ALONE;
use backshift_testkit::{pace, wait};

use crate::scene::{Api, PATIENCE, Place, Proxy, SystemC, probe, stretched_ms};

#[tokio::test]
async fn a_code_that_was_accepted_outlives_the_api_that_accepted_it() {
    let Some(system) = SystemC::new().await else { return };
    let proxy = Proxy::start(system.vhost.url(), false).await;
    let cut_off = system.settings.with(&[("RABBITMQ_URL", &proxy.url(system.vhost.url()))]);
    let doomed = Api::ready(&cut_off).await;
    doomed.register("heir@example.com", "correct horse").await;
    assert_eq!(doomed.send_otp("heir@example.com", "correct horse").await.code(), 0);
    doomed.process.kill().await;
    let (_worker, other) = (system.worker().await, system.api().await);
    let code = system.smtp.wait_for("heir@example.com", 1).await[0].code();
    assert_eq!(other.verify("heir@example.com", &code).await.code(), 0);
    assert_eq!(system.smtp.mails().len(), 1);
}

/// With the default lease of 30 s: a sign of life that ended is enough.
async fn back_within_seconds(place: Place) {
    place.migrate().await;
    let ids = place.enqueue(&[probe("orphan", "sleep", stretched_ms(5_000), 0)]).await;
    let doomed = place.worker("probes:1").await;
    let begun = wait::until(PATIENCE, || async { place.count("attempts", "orphan").await == 1 });
    assert!(begun.await, "{}", doomed.output());
    let survivor = place.worker("probes:1").await;
    doomed.process.kill().await;
    let killed = Instant::now();
    let again = wait::until(PATIENCE, || async { place.count("attempts", "orphan").await == 2 });
    assert!(again.await, "{}", survivor.output());
    let soon = pace::stretched(Duration::from_secs(4));
    assert!(killed.elapsed() < soon, "came back after {:?}", killed.elapsed());
    let job = place.wait_state(&ids[0], "completed").await;
    assert_eq!((job["attempt"].as_u64(), place.count("effects", "orphan").await), (Some(1), 1), "{job:#}");
}

#[tokio::test]
async fn a_killed_worker_s_jobs_come_back_at_once_on_the_embedded_broker() {
    back_within_seconds(Place::embedded()).await;
}

#[tokio::test]
async fn a_killed_worker_s_jobs_come_back_at_once_on_postgres() {
    let Some(place) = Place::postgres().await else { return };
    back_within_seconds(place).await;
}

#[tokio::test]
async fn a_killed_worker_s_jobs_come_back_at_once_on_rabbitmq() {
    let Some(place) = Place::rabbitmq().await else { return };
    back_within_seconds(place).await;
}

#[tokio::test]
async fn a_job_that_always_crashes_is_dead_in_the_end_and_its_neighbours_are_not() {
    // A dead worker is known by its lock: no short lease, which a busy machine lets end while its worker lives.
    let place = Place::embedded();
    let mut lines = vec![probe("bomb", "crash", 0, 1_000)];
    lines.extend((0..4).map(|n| probe(&format!("neighbour{n}"), "sleep", 300, 0)));
    let ids = place.enqueue(&lines).await;
    let mut starts = 0;
    // The one that finds the bomb dead lives on: its end would be a crash of whatever it runs by then.
    let (job, _last) = loop {
        starts += 1;
        assert!(starts < 40, "{:#}", place.show(&ids[0]).await);
        let mut worker = place.start("probes:4");
        let dead = wait::until(PATIENCE, || async { place.show(&ids[0]).await["state"] == "dead" });
        tokio::select! {
            ended = worker.process.ended(PATIENCE) => assert!(ended.is_some(), "it neither crashes nor is dead"),
            dead = dead => assert!(dead, "it neither crashes nor is dead"),
        }
        let job = place.show(&ids[0]).await;
        if job["state"] == "dead" {
            break (job, worker);
        }
    };
    assert_eq!((job["reason"].as_str(), job["attempt"].as_u64()), (Some("crash-loop"), Some(1)), "{job:#}");
    assert!((20..=26).contains(&starts), "{starts} starts");
    let _worker = place.worker("probes:4").await;
    for id in &ids[1..] {
        let job = place.wait_state(id, "completed").await;
        assert_eq!(job["attempt"], 1, "{job:#}");
    }
    for n in 0..4 {
        assert_eq!(place.count("effects", &format!("neighbour{n}")).await, 1);
        let starts = place.count("attempts", &format!("neighbour{n}")).await;
        // Beside the bomb until that runs alone, each time a crash of its own; then once, alone or beside others.
        let most = CRASHES_BEFORE_ALONE as usize + 1;
        assert!(starts <= most, "neighbour{n} started {starts} times: {:#}", place.show(&ids[n + 1]).await);
    }
}

#[tokio::test]
async fn several_processes_share_one_embedded_file() {
    let place = Place::embedded();
    let lines: Vec<_> = (0..80).map(|n| probe(&format!("k{n}"), "sleep", 20, 0)).collect();
    let workers = [place.worker("probes:2").await, place.worker("probes:2").await];
    // Three at once are one more than one worker takes.
    let long: Vec<_> = (0..3).map(|n| probe(&format!("long{n}"), "sleep", stretched_ms(3_000), 0)).collect();
    let long = place.enqueue(&long).await;
    let (first, second) = lines.split_at(40);
    let (first, second) = tokio::join!(place.enqueue(first), place.enqueue(second));
    for id in first.iter().chain(&second).chain(&long) {
        place.wait_state(id, "completed").await;
    }
    let effects = place.probes("effects").await;
    assert_eq!(effects.len(), 83, "each once");
    let names: std::collections::HashSet<_> = effects.iter().map(|row| row.3.clone()).collect();
    assert_eq!(names.len(), 2, "both take part: {names:?}");
    for worker in workers {
        assert_eq!(worker.drained().await, Some(0));
    }
}
