//! Health in C's shape and readiness for probes.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use backshift_http::{
    health::{self, Check, Health, Readiness},
    server,
};
use serde_json::json;

use crate::stub::ask;

#[derive(Clone, Default)]
struct Parts(Arc<Mutex<Vec<Check>>>);

#[async_trait]
impl Readiness for Parts {
    async fn checks(&self) -> Vec<Check> {
        self.0.lock().unwrap().clone()
    }
}

fn app(parts: &Parts) -> Router {
    let health = Health {
        service: "backshift",
        version: "1.2.3",
        readiness: Arc::new(parts.clone()),
        metrics: Arc::new(|| "messages_consumed_total 5\n".to_owned()),
    };
    server::finish(health::router(health))
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
    *parts.0.lock().unwrap() =
        vec![Check::ok("database"), Check::degraded("broker", "the relay delivers later")];
    let (status, body) = get(&app, "/readyz").await;
    assert_eq!((status, &body["status"]), (StatusCode::OK, &json!("degraded")));
    assert_eq!(
        body["checks"][1],
        json!({"name": "broker", "state": "degraded", "detail": "the relay delivers later"})
    );
    assert_eq!(get(&app, "/ready").await.0, StatusCode::OK);

    *parts.0.lock().unwrap() = vec![Check::down("database", "connection refused")];
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
    assert_eq!(&bytes[..], b"messages_consumed_total 5\n");
}
