//! RabbitMQ takes no copies of retries and dead letters, because its user may not declare what they need.
//!
//! The jobs snooze for an hour or fail for good: each start beyond the first is one that must not be.

use std::time::Duration;

use backshift_testkit::wait;
use lapin::BasicProperties;
use serde_json::{Value, json};

use crate::scene::{PATIENCE, Place, Worker, backshift, probe};

const QUEUE: &str = "copies";
const HOUR: u64 = 3_600_000;

/// Puts a probe without an id into the queue.
async fn put_nameless(place: &Place, key: &str, mode: &str, ms: u64) {
    let body = json!({"key": key, "mode": mode, "ms": ms, "fails": 1}).to_string();
    let properties = BasicProperties::default().with_type("backshift.probe".into()).with_delivery_mode(2);
    place.vhost().put(QUEUE, &body, properties).await;
}

/// One job of each sort, with and without an id; the keys of those that wait and of those that are dead.
async fn jobs(place: &Place) -> [Vec<&'static str>; 2] {
    let line = |key: &str, mode: &str| {
        let mut line = probe(key, mode, HOUR, 1);
        line["queue"] = QUEUE.into();
        line
    };
    place.enqueue(&[line("snoozed", "snooze"), line("refused", "permanent")]).await;
    put_nameless(place, "snoozed-nameless", "snooze", HOUR).await;
    put_nameless(place, "refused-nameless", "permanent", 0).await;
    [vec!["snoozed", "snoozed-nameless"], vec!["refused", "refused-nameless"]]
}

/// Does a job that needs no copy: whatever came again before it has been looked at.
async fn marker(place: &Place, key: &str, worker: &Worker) {
    let mut line = probe(key, "ok", 0, 0);
    line["queue"] = QUEUE.into();
    place.enqueue(&[line]).await;
    let done = wait::until(PATIENCE, || async { place.count("effects", key).await == 1 });
    assert!(done.await, "{key} is not done\n{}", worker.output());
}

async fn doctor(place: &Place) -> crate::scene::Ended {
    let flags: Vec<&str> = place.flags.iter().map(String::as_str).collect();
    backshift(&[&["doctor", "--queue", QUEUE], &flags[..]].concat(), &[("BACKSHIFT_PROBE", "true")]).await
}

async fn may_declare_its_queue_only(place: Place) {
    place.migrate().await;
    let user = place.vhost().user("^copies$");
    let place = place.by(&user.url);
    let worker = place.start(&format!("{QUEUE}:16"));
    // Before the first job failed.
    worker.answers(503, &["copies.dlq", "ACCESS_REFUSED", "configure"]).await;
    let keys = jobs(&place).await;
    let all: Vec<&str> = keys.iter().flatten().copied().collect();
    let started = wait::until(PATIENCE, || async {
        for key in &all {
            if place.count("attempts", key).await == 0 {
                return false;
            }
        }
        true
    });
    assert!(started.await, "{}", worker.output());
    worker.answers(503, &["4 deliveries wait", "ACCESS_REFUSED"]).await;
    let looked = doctor(&place).await;
    assert!(looked.code == 78 && looked.out.contains("problem"), "{looked:?}");
    assert!(looked.err.contains("copies.dlq") && looked.err.contains("configure"), "{looked:?}");
    for round in 0..2 {
        let closed = wait::until(Duration::from_secs(20), || async { place.vhost().close_connections() > 0 });
        assert!(closed.await, "no connection was closed");
        marker(&place, &format!("marker-{round}"), &worker).await;
    }
    assert_eq!(worker.drained().await, Some(0));
    let worker = place.start(&format!("{QUEUE}:16"));
    marker(&place, "marker-of-another-worker", &worker).await;
    worker.answers(503, &["4 deliveries wait"]).await;
    for key in &all {
        assert_eq!(place.count("attempts", key).await, 1, "{key} was started again\n{}", worker.output());
    }
    user.may_declare(".*");
    let worker = worker.when_ready().await;
    for (name, count) in [("copies.dlq", 2), ("copies.retry.1h", 2)] {
        let there = wait::until(PATIENCE, || async { place.depth(name).await == Some(count) });
        assert!(there.await, "{name} has {:?}\n{}", place.depth(name).await, worker.output());
    }
    let looked = doctor(&place).await;
    assert_eq!(looked.code, 0, "{looked:?}");
    let listed = place.run(&["jobs", "list", "--json", "--limit", "500"]).await.done().list();
    let of = |state: &str| listed.iter().filter(|job| job["state"] == state).collect::<Vec<&Value>>();
    assert_eq!((of("scheduled").len(), of("dead").len()), (2, 2), "{listed:#?}");
    for job in of("scheduled").into_iter().chain(of("dead")) {
        assert_eq!(job["attempt"], 1, "an attempt was burnt: {job:#}");
    }
    for key in &all {
        assert_eq!(place.count("attempts", key).await, 1, "{key} was started again\n{}", worker.output());
    }
    assert_eq!(worker.drained().await, Some(0));
}

#[tokio::test]
async fn a_user_who_may_not_declare_burns_no_attempt() {
    let Some(place) = Place::rabbitmq().await else { return };
    may_declare_its_queue_only(place).await;
}

#[tokio::test]
async fn a_user_who_may_not_declare_burns_no_attempt_with_a_file() {
    let Some(place) = Place::rabbitmq_with_a_file().await else { return };
    may_declare_its_queue_only(place).await;
}

/// Nobody remembers the job but its message: it stays with the worker.
#[tokio::test]
async fn a_user_who_may_not_declare_burns_no_attempt_without_a_store() {
    let Some(place) = Place::rabbitmq_with_a_file().await else { return };
    let user = place.vhost().user("^copies$");
    let settings = crate::scene::Settings::of(&[("BACKSHIFT_PROBE", "true")]);
    let log = place.directory.path().join("probe.log");
    let settings = settings.with(&[("BACKSHIFT_PROBE_LOG", log.to_str().unwrap())]);
    let arguments = ["worker", "--queue", "copies:16", "--broker", &user.url, "--no-store"];
    let worker = Worker::start(&arguments, &settings);
    worker.answers(503, &["copies.dlq", "ACCESS_REFUSED"]).await;
    put_nameless(&place, "refused", "permanent", 0).await;
    put_nameless(&place, "snoozed", "snooze", HOUR).await;
    worker.answers(503, &["2 deliveries wait"]).await;
    let again = wait::until(Duration::from_secs(4), || async {
        worker.metric("messages_consumed_total").await > Some(2.0)
            || worker.metric("messages_processed_errors").await > Some(1.0)
    });
    assert!(!again.await, "a job was started again\n{}", worker.output());
    user.may_declare(".*");
    let worker = worker.when_ready().await;
    let letter = place.vhost().take("copies.dlq").await;
    assert_eq!(letter.header("backshift-attempt").as_deref(), Some("1"));
    assert_eq!(letter.header("backshift-reason").as_deref(), Some("permanent"));
    let there = wait::until(PATIENCE, || async { place.depth("copies.retry.1h").await == Some(1) });
    assert!(there.await, "the snoozed job is not on its way\n{}", worker.output());
    assert_eq!(worker.drained().await, Some(0));
}
