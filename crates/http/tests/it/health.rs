//! Health in C's shape and readiness for probes.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use backshift_http::{
    Shape,
    health::{self, Cause, Check, Health, Readiness, Shown},
    server,
};
use futures::FutureExt;
use serde_json::json;

use crate::ask::ask;

#[derive(Clone, Default)]
struct Parts(Arc<Mutex<Vec<Check>>>);

#[async_trait]
impl Readiness for Parts {
    async fn checks(&self) -> Vec<Check> {
        self.0.lock().unwrap().clone()
    }
}

fn app(parts: &Parts) -> Router {
    app_that_shows(parts, Shown::Details)
}

fn app_that_shows(parts: &Parts, shown: Shown) -> Router {
    let health = Health {
        service: "backshift",
        version: "1.2.3",
        readiness: Arc::new(parts.clone()),
        metrics: Arc::new(|| async { "backshift_jobs_taken_total 5\n".to_owned() }.boxed()),
        shown,
    };
    server::finish(health::router(health), Shape::SystemC)
}

async fn get(app: &Router, path: &str) -> (StatusCode, serde_json::Value) {
    ask(app, Request::get(path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn c_s_routes_answer_at_the_root_and_under_the_prefix() {
    let app = app(&Parts::default());
    for prefix in ["", "/api/v1"] {
        for (path, word) in [("/health", "healthy"), ("/ready", "ready"), ("/live", "alive")] {
            let (status, body) = get(&app, &format!("{prefix}{path}")).await;
            assert_eq!((status, &body["error_code"]), (StatusCode::OK, &json!(0)));
            assert_eq!(body["data"]["status"], word);
            assert_eq!(body["data"]["version"], "1.2.3");
            assert_eq!(body["data"]["service"], "backshift");
        }
    }
}

#[tokio::test]
async fn what_is_down_is_named_and_what_is_degraded_keeps_it_ready() {
    let parts = Parts::default();
    let app = app(&parts);
    *parts.0.lock().unwrap() = vec![
        Check::ok("database"),
        Check::degraded("broker", Cause::Unreachable, "the relay delivers later"),
    ];
    let (status, body) = get(&app, "/readyz").await;
    assert_eq!((status, &body["status"]), (StatusCode::OK, &json!("degraded")));
    assert_eq!(
        body["checks"][1],
        json!({"name": "broker", "state": "degraded", "cause": "unreachable", "detail": "the relay delivers later"})
    );
    assert_eq!(get(&app, "/ready").await.0, StatusCode::OK);

    *parts.0.lock().unwrap() = vec![Check::down("database", Cause::Unreachable, "connection refused")];
    let (status, body) = get(&app, "/readyz").await;
    assert_eq!((status, &body["checks"][0]["name"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("database")));
    let (status, body) = get(&app, "/ready").await;
    assert_eq!((status, &body["error_code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(503)));
    for alive in ["/live", "/health", "/healthz", "/api/v1/live"] {
        assert_eq!(get(&app, alive).await.0, StatusCode::OK, "{alive}");
    }
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    use tower::ServiceExt;
    let response =
        app(&Parts::default()).oneshot(Request::get("/metrics").body(Body::empty()).unwrap()).await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 10).await.unwrap();
    assert_eq!(&bytes[..], b"backshift_jobs_taken_total 5\n");
}

#[tokio::test]
async fn a_public_port_names_the_kind_of_cause_and_nothing_of_the_house() {
    let parts = Parts::default();
    let app = app_that_shows(&parts, Shown::Causes);
    let told = "password authentication failed for user \"backshift\" at db.internal:5432";
    *parts.0.lock().unwrap() = vec![
        Check::down("database", Cause::Refused, told),
        Check::degraded("broker", Cause::Timeout, "no answer of amqp.internal"),
    ];
    let (status, body) = get(&app, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let wanted = json!({"status": "not ready", "checks": [
        {"name": "database", "state": "down", "cause": "refused"},
        {"name": "broker", "state": "degraded", "cause": "timeout"},
    ]});
    assert_eq!(body, wanted);
    for path in ["/ready", "/api/v1/ready", "/health", "/live"] {
        let (_, body) = get(&app, path).await;
        assert!(
            !body.to_string().contains("internal") && !body.to_string().contains("user"),
            "{path}: {body}"
        );
    }
}

/// Counts how often somebody looks, and lets a look end when it is told to.
struct Slow {
    looks: AtomicUsize,
    done: tokio::sync::Semaphore,
}

#[async_trait]
impl Readiness for Slow {
    async fn checks(&self) -> Vec<Check> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        let _ = self.done.acquire().await.unwrap();
        vec![Check::ok("database")]
    }
}

#[tokio::test]
async fn however_many_ask_the_parts_are_asked_once_at_a_time() {
    let slow = Arc::new(Slow { looks: AtomicUsize::new(0), done: tokio::sync::Semaphore::new(0) });
    let health = Health {
        service: "backshift",
        version: "1.2.3",
        readiness: slow.clone(),
        metrics: Arc::new(|| async { String::new() }.boxed()),
        shown: Shown::Details,
    };
    let app = server::finish(health::router(health), Shape::SystemC);
    let crowd = futures::future::join_all((0..100).map(|n| {
        let app = app.clone();
        async move { get(&app, if n % 2 == 0 { "/readyz" } else { "/ready" }).await.0 }
    }));
    let release = async {
        while slow.looks.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        slow.done.add_permits(1);
    };
    let (all, ()) = futures::join!(crowd, release);
    assert!(all.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(slow.looks.load(Ordering::SeqCst), 1);
    assert_eq!(get(&app, "/readyz").await.0, StatusCode::OK);
    assert_eq!(slow.looks.load(Ordering::SeqCst), 2, "what was seen is not kept");
}
