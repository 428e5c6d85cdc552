//! `jobs`, `queues`, `suppressions`: what programs read and what operators do, without a worker.

use backshift_testkit::{
    process::{Running, Signal},
    wait,
};
use serde_json::{Value, json};

use crate::scene::{Embedded, PATIENCE, Place, Worker, backshift};

/// A store whose jobs may be probes and come back soon.
fn here() -> Embedded {
    Embedded::with(&[("BACKSHIFT_PROBE", "true"), ("BACKSHIFT_RETRY_BASE", "50ms")])
}

fn ids(jobs: &[Value]) -> Vec<String> {
    jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_cursor_walks_through_all_jobs_while_new_ones_arrive() {
    let here = here();
    here.run(&["enqueue", "k", "--payload", "{}", "--count", "120"]).await.done();
    let all = ids(&here.list(&["--limit", "500"]).await);
    assert_eq!(all.len(), 120);
    assert_eq!(here.list(&[]).await.len(), 50, "the default");
    let mut walked = ids(&here.list(&["--limit", "50"]).await);
    here.run(&["enqueue", "k", "--payload", "{}", "--count", "7"]).await.done();
    loop {
        let cursor = walked.last().unwrap().clone();
        let page = here.list(&["--limit", "50", "--cursor", &cursor]).await;
        if page.is_empty() {
            break;
        }
        walked.extend(ids(&page));
    }
    assert_eq!(walked, all, "newest first, nothing twice, nothing skipped");
    for wrong in [
        &["--limit", "501"][..],
        &["--limit", "0"],
        &["--state", "lost"],
        &["--effect", "maybe"],
        &["--cursor", "x"],
    ] {
        assert_eq!(here.run(&[&["jobs", "list"], wrong].concat()).await.code, 2, "{wrong:?}");
    }
    let gone = here.run(&["jobs", "list", "--cursor", "019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55"]).await;
    assert_eq!(gone.code, 2, "{gone:?}");
}

#[tokio::test]
async fn lists_are_filtered() {
    let here = here();
    let lines = [
        json!({"kind": "a", "queue": "q1", "payload": {}}),
        json!({"kind": "a", "queue": "q2", "payload": {}, "in": "1h"}),
        json!({"kind": "b", "queue": "q1", "payload": {}}),
    ];
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    here.fed(&["enqueue", "--stdin"], &lines.join("\n")).await.done();
    assert_eq!(here.list(&["--kind", "a"]).await.len(), 2);
    assert_eq!(here.list(&["--queue", "q1"]).await.len(), 2);
    assert_eq!(here.list(&["--state", "scheduled"]).await.len(), 1);
    assert_eq!(here.list(&["--kind", "a", "--queue", "q1", "--state", "available"]).await.len(), 1);
    assert_eq!(here.list(&["--effect", "ambiguous"]).await.len(), 0);
    let table = here.run(&["jobs", "list"]).await.done().out;
    assert!(table.lines().next().unwrap().contains("ID") && table.lines().count() == 4, "{table}");
    let queues = here.run(&["queues", "list", "--json"]).await.done().list();
    let q1 = queues.iter().find(|queue| queue["queue"] == "q1").unwrap();
    assert_eq!((&q1["available"], &q1["paused"]), (&json!(2), &json!(false)));
}

#[tokio::test]
async fn jobs_are_cancelled_retried_and_shown() {
    let here = here();
    let payload = r#"{"key":"p","mode":"permanent"}"#;
    let failed =
        here.run(&["enqueue", "backshift.probe", "--payload", payload, "--json"]).await.done().list()[0]
            .clone();
    let waiting =
        here.run(&["enqueue", "other.kind", "--payload", "{}", "--in", "1h", "--json"]).await.done().list()
            [0]
        .clone();
    let (failed, waiting) = (failed.as_str().unwrap(), waiting.as_str().unwrap());
    let cancelled = here.run(&["jobs", "cancel", waiting, "--json"]).await.done().list();
    assert_eq!(cancelled[0]["state"], "cancelled");
    let worker = Worker::ready(&["worker"], &here.settings).await;
    let dead = backshift_testkit::wait::until(crate::scene::PATIENCE, || async {
        here.list(&["--state", "dead"]).await.len() == 1
    });
    assert!(dead.await, "{}", worker.output());
    let shown = here.run(&["jobs", "show", failed, "--json"]).await.done().json();
    assert_eq!(
        (&shown["state"], &shown["reason"], &shown["attempt"]),
        (&json!("dead"), &json!("permanent"), &json!(1))
    );
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1);
    for name in ["attempt", "token", "worker", "started_at", "ended_at", "outcome", "error"] {
        assert!(attempts[0].get(name).is_some(), "{name} in {}", attempts[0]);
    }
    assert!(shown["error"].as_str().unwrap().contains("fails for good"));
    let again = here.run(&["jobs", "retry", failed, "--json"]).await.done().list();
    assert_eq!(again[0]["id"], failed);
    let twice = backshift_testkit::wait::until(crate::scene::PATIENCE, || async {
        let shown = here.run(&["jobs", "show", failed, "--json"]).await.done().json();
        shown["state"] == "dead" && shown["attempts"].as_array().unwrap().len() == 2
    });
    assert!(twice.await, "it ran again and died again");
    let absent = "019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55";
    for command in ["show", "retry", "cancel"] {
        let ended = here.run(&["jobs", command, absent]).await;
        assert_eq!(ended.code, 2, "{command}: {ended:?}");
        assert_eq!(here.run(&["jobs", command, "nonsense"]).await.code, 2, "{command}");
    }
    assert_eq!(worker.drained().await, Some(0));
}

#[tokio::test]
async fn a_paused_queue_rests_until_it_is_resumed() {
    let here = here();
    here.run(&["queues", "pause", "default"]).await.done();
    let worker = Worker::ready(&["worker"], &here.settings).await;
    here.run(&["enqueue", "backshift.probe", "--payload", r#"{"key":"paused"}"#]).await.done();
    here.run(&["enqueue", "backshift.probe", "--payload", r#"{"key":"free"}"#, "--queue", "mail"])
        .await
        .done();
    let free = backshift_testkit::wait::until(crate::scene::PATIENCE, || async {
        here.list(&["--state", "completed", "--queue", "mail"]).await.len() == 1
    });
    assert!(free.await, "{}", worker.output());
    assert_eq!(here.list(&["--state", "available", "--queue", "default"]).await.len(), 1, "it rests");
    let queues = here.run(&["queues", "list", "--json"]).await.done().list();
    assert!(queues.iter().any(|queue| queue["queue"] == "default" && queue["paused"] == true), "{queues:?}");
    let resumed = here.run(&["queues", "resume", "default", "--json"]).await.done().json();
    assert_eq!((&resumed["paused"], &resumed["changed"]), (&json!(false), &json!(true)));
    let ran = backshift_testkit::wait::until(crate::scene::PATIENCE, || async {
        here.list(&["--state", "completed"]).await.len() == 2
    });
    assert!(ran.await, "{}", worker.output());
}

#[tokio::test]
async fn unknown_kinds_are_parked_and_not_failed() {
    let here = here();
    let worker = Worker::ready(&["worker"], &here.settings).await;
    here.run(&["enqueue", "nobody.knows", "--payload", "{}"]).await.done();
    here.run(&["enqueue", "backshift.probe", "--payload", r#"{"key":"after"}"#]).await.done();
    let after = backshift_testkit::wait::until(crate::scene::PATIENCE, || async {
        here.list(&["--state", "completed"]).await.len() == 1
    });
    assert!(after.await, "{}", worker.output());
    let parked = here.list(&["--kind", "nobody.knows"]).await.remove(0);
    assert!(parked["state"] != "dead" && parked["state"] != "completed", "{parked}");
    assert!(parked["attempt"].as_u64() <= Some(1), "{parked}");
}

#[tokio::test]
async fn help_version_and_completions_need_nothing() {
    for arguments in
        [&["--help"][..], &["--version"], &["help", "jobs"], &["completions", "bash"], &["migrate", "sql"]]
    {
        let ended = backshift(arguments, &[]).await.done();
        assert!(!ended.out.is_empty(), "{arguments:?}");
    }
    let typo = backshift(&["jbos"], &[]).await;
    assert_eq!(typo.code, 2);
    assert!(typo.err.contains("jobs"), "{typo:?}");
}

#[tokio::test]
async fn the_bench_measures_and_leaves_nothing_in_the_way() {
    let here = here();
    let measured = here.run(&["bench", "--jobs", "300", "--rounds", "2", "--json"]).await.done().json();
    assert_eq!(measured["rounds"].as_array().map(Vec::len), Some(2), "{measured}");
    for rate in ["enqueue_per_second", "drain_per_second"] {
        assert!(measured[rate].as_f64().is_some_and(|rate| rate > 0.0), "{measured}");
    }
    assert!(measured["single_enqueue_ms"]["p99"].as_f64() >= measured["single_enqueue_ms"]["p50"].as_f64());
    assert!(here.list(&[]).await.is_empty(), "the bench removes its rows");
}

/// A statement that one of the databases refuses is seen here at the latest.
#[tokio::test]
async fn every_command_of_an_operator_works_on_both_databases() {
    for place in [Some(Place::embedded()), Place::postgres().await].into_iter().flatten() {
        place.migrate().await;
        let job = place.enqueue(&[json!({"kind": "k", "queue": "q", "payload": {}})]).await.remove(0);
        for arguments in [
            &["jobs", "list", "--state", "running"][..],
            &["jobs", "show", &job],
            &["jobs", "explain", &job],
            &["jobs", "cancel", &job],
            &["jobs", "retry", &job],
            &["jobs", "hands"],
            &["jobs", "retry", "--state", "dead", "--dry-run"],
            &["queues", "list"],
            &["queues", "explain", "q"],
            &["queues", "pause", "q"],
            &["queues", "resume", "q"],
            &["dead", "group"],
            &["migrate", "status"],
            &["bench", "--jobs", "200", "--rounds", "1", "--json"],
        ] {
            let ended = place.run(arguments).await;
            // 1 = something stands in the way, as `explain` was asked.
            assert!(ended.code <= 1 && !ended.err.contains("error"), "{arguments:?}: {ended:?}");
        }
        let left = place.run(&["jobs", "list", "--json"]).await.done().json();
        assert_eq!(left.as_array().map(Vec::len), Some(1), "the bench left its rows: {left}");
    }
}

#[tokio::test]
async fn a_bench_that_is_stopped_removes_what_it_had_enqueued() {
    let here = here();
    here.run(&["enqueue", "k", "--payload", "{}"]).await.done();
    let bench = ["bench", "--jobs", "1000000", "--rounds", "20"];
    let mut bench = Running::start(&bench, &here.settings.pairs());
    let begun = wait::until(PATIENCE, || async { here.list(&["--limit", "500"]).await.len() == 500 }).await;
    assert!(begun, "{}", bench.output());
    bench.signal(Signal::INT);
    assert_eq!(bench.ended(PATIENCE).await.and_then(|status| status.code()), Some(1), "{}", bench.output());
    let left = here.list(&[]).await;
    assert_eq!(left.len(), 1, "only the job that was there before: {left:?}");
}
