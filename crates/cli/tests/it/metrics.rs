//! What a monitoring system reads: our names everywhere, the seed's on what works for system C, and `backshift health`.

use std::collections::BTreeSet;

use backshift_testkit::wait;

use crate::scene::{PATIENCE, Place, SystemC, backshift, probe, request};

const NAMES: [&str; 13] = [
    "messages_consumed_total",
    "messages_processed_success",
    "messages_processed_errors",
    "message_processing_duration_seconds",
    "smtp_send_duration_seconds",
    "active_goroutines",
    "active_tasks",
    "queue_depth",
    "message_publish_rate",
    "message_consume_rate",
    "connection_count",
    "email_ambiguous_total",
    "email_suppressed_total",
];

/// The names that a page has samples of.
fn names(page: &str) -> Vec<String> {
    let samples = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    samples.map(|line| line.split(['{', ' ']).next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn both_processes_show_the_seed_s_names() {
    let Some(system) = SystemC::new().await else { return };
    let (worker, api) = (system.worker().await, system.api().await);
    api.register("m@example.com", "correct horse").await;
    api.send_otp("m@example.com", "correct horse").await;
    system.vhost.publish_mail("n@example.com", "n").await;
    system.smtp.wait_for("m@example.com", 1).await;
    system.smtp.wait_for("n@example.com", 1).await;
    worker.wait_metric("messages_processed_success", 2.0).await;
    worker.wait_metric("messages_consumed_total", 2.0).await;
    worker.wait_metric("smtp_send_duration_seconds_count", 2.0).await;
    worker.wait_metric("message_processing_duration_seconds_count", 2.0).await;
    worker.wait_metric("connection_count", 1.0).await;
    let page = worker.get("/metrics").await.unwrap();
    assert!(page.header("content-type").unwrap().starts_with("text/plain"));
    let shown = names(&page.body);
    for name in NAMES.iter().chain(&["mail_transport_paused"]) {
        let there = shown.iter().any(|shown| shown == name || shown == &format!("{name}_count"));
        assert!(there, "{name} is missing:\n{}", page.body);
    }
    let page = api.page("/metrics").await;
    let shown = names(&page.body);
    for name in NAMES {
        let there = shown.iter().any(|shown| shown == name || shown == &format!("{name}_count"));
        assert!(
            there || page.body.contains(&format!("# TYPE {name} ")),
            "{name} is missing on the API:\n{}",
            page.body
        );
    }
}

#[tokio::test]
async fn health_pages_are_where_both_generations_look() {
    let Some(system) = SystemC::new().await else { return };
    let (worker, api) = (system.worker().await, system.api().await);
    for prefix in ["", "/api/v1"] {
        for page in ["health", "ready", "live"] {
            let answer = api.page(&format!("{prefix}/{page}")).await;
            assert_eq!((answer.status, answer.code()), (200, 0), "{prefix}/{page}");
            let data = answer.json()["data"].clone();
            for key in ["status", "message", "version", "service"] {
                assert!(data[key].is_string(), "{key} of {data}");
            }
        }
    }
    for (port, page) in
        [(worker.port, "/healthz"), (worker.port, "/readyz"), (api.port, "/healthz"), (api.port, "/readyz")]
    {
        assert_eq!(request(port, "GET", page, &[], b"").await.unwrap().status, 200, "{page}");
    }
}

/// The names that a page describes.
fn described(page: &str) -> BTreeSet<&str> {
    page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect()
}

#[tokio::test]
async fn our_own_names_say_what_they_are_and_speak_of_every_queue() {
    let place = Place::embedded();
    place.migrate().await;
    let dead = place.enqueue(&[probe("x", "permanent", 0, 0)]).await;
    let mut lonely = probe("y", "ok", 0, 0);
    lonely["queue"] = "nobodys".into();
    place.enqueue(&[lonely]).await;
    let worker = place.worker("probes").await;
    place.wait_state(&dead[0], "dead").await;
    let says = async |line: &str| worker.get("/metrics").await.is_some_and(|page| page.body.contains(line));
    for line in [
        "backshift_queue_jobs{queue=\"probes\",state=\"dead\"} 1",
        "backshift_queue_jobs{queue=\"nobodys\",state=\"available\"} 1",
        "backshift_queue_workers{queue=\"nobodys\"} 0",
        "backshift_queue_workers{queue=\"probes\"} 1",
        "backshift_store_up 1",
    ] {
        let page = worker.get("/metrics").await;
        assert!(wait::until(PATIENCE, || says(line)).await, "{line} is missing: {page:?}");
    }
    let page = worker.get("/metrics").await.unwrap().body;
    let described = described(&page);
    for name in names(&page) {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        assert!(
            described.contains(name.as_str()) || base.is_some_and(|b| described.contains(b)),
            "{name} has no HELP"
        );
        assert!(!name.contains("goroutines") && !name.starts_with("message"), "{name} is system C's");
    }
}

#[tokio::test]
async fn health_asks_the_running_process_and_ends_by_its_answer() {
    let place = Place::embedded();
    place.migrate().await;
    let worker = place.worker("probes").await;
    let address = format!("127.0.0.1:{}", worker.port);
    let ask =
        async |more: &[&str]| backshift(&[&["health", "--address", &address], more].concat(), &[]).await;
    let ready = ask(&[]).await.done().out;
    assert!(ready.starts_with("ready\n") && ready.contains("database ok"), "{ready}");
    assert_eq!(ask(&["--live"]).await.done().out, "ok\n");
    assert_eq!(ask(&["--json"]).await.done().json()["status"], "ready");
    let mut process = worker.process;
    process.terminate();
    process.ended(PATIENCE).await;
    let nobody = ask(&[]).await;
    assert_eq!(nobody.code, 69, "{nobody:?}");
    assert!(nobody.err.contains(&address) && nobody.err.contains("worker.http_addr"), "{nobody:?}");
}

#[tokio::test]
async fn health_says_why_a_worker_is_not_ready() {
    let Some(system) = SystemC::new().await else { return };
    let worker = system.worker().await;
    let address = format!("127.0.0.1:{}", worker.port);
    system.smtp.refuse_auth(Some("535 5.7.8 Authentication failed"));
    system.vhost.publish_mail("n@example.com", "n").await;
    worker.wait_metric("mail_transport_paused", 1.0).await;
    let not_ready = || async { worker.get("/readyz").await.is_some_and(|answer| answer.status == 503) };
    assert!(wait::until(PATIENCE, not_ready).await, "{}", worker.output());
    let asked = backshift(&["health", "--address", &address], &[]).await;
    assert_eq!(asked.code, 1, "{asked:?}");
    assert!(asked.out.starts_with("not ready\n") && asked.out.contains("mail"), "{asked:?}");
    assert!(asked.err.contains("is not ready"), "{asked:?}");
}
