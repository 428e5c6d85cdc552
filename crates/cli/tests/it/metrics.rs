//! What a monitoring system reads: the seed's names, on the worker and on the API.

use crate::scene::{SystemC, request};

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
