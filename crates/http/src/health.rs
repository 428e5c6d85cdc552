//! Whether the process lives and whether it is ready, in C's shape and in the shape of probes, and `/metrics`.
//!
//! *Ready* looks only at what this process cannot work without; what is degraded is named and keeps it ready.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use crate::{ApiError, api::PREFIX, envelope};

/// How one part that the process depends on is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The part: `database`, `broker`, `mail`, `queue:smtp_send_email` …
    pub name: String,
    /// How it is.
    pub state: Condition,
    /// What is wrong and what happens next; no credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// It works.
    Ok,
    /// It is away and the process works on without it.
    Degraded,
    /// It is away and the process is not ready.
    Down,
}

impl Check {
    /// A part that works.
    pub fn ok(name: impl Into<String>) -> Self {
        Self { name: name.into(), state: Condition::Ok, detail: None }
    }

    /// A part that is away while the process works on.
    pub fn degraded(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), state: Condition::Degraded, detail: Some(detail.into()) }
    }

    /// A part without which the process is not ready.
    pub fn down(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), state: Condition::Down, detail: Some(detail.into()) }
    }
}

/// Looks at every part; called for each request, so it must be cheap and bounded in time.
#[async_trait]
pub trait Readiness: Send + Sync + 'static {
    /// The parts and how they are.
    async fn checks(&self) -> Vec<Check>;
}

/// What the health routes need.
#[derive(Clone)]
pub struct Health {
    /// The service's name in C's answers.
    pub service: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// Whether it is ready.
    pub readiness: Arc<dyn Readiness>,
    /// Renders the metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// `/health`, `/ready`, `/live` at the root and under the API's prefix, and everything of [`probes`].
pub fn router(health: Health) -> Router {
    let of_c = || {
        Router::new()
            .route("/health", get(healthy))
            .route("/ready", get(ready))
            .route("/live", get(alive))
            .with_state(health.clone())
    };
    Router::new().merge(of_c()).nest(PREFIX, of_c()).merge(probes(health.clone()))
}

/// `/healthz`, `/readyz`, `/metrics`: all that a worker's port shows.
pub fn probes(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(|| async { Json(Report { status: "ok", checks: Vec::new() }) }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health)
}

/// C's answer.
#[derive(Serialize)]
struct Status {
    status: &'static str,
    message: &'static str,
    version: &'static str,
    service: &'static str,
}

#[derive(Serialize)]
struct Report {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Check>,
}

impl Health {
    fn says(&self, status: &'static str, message: &'static str) -> Response {
        envelope::success(Status { status, message, version: self.version, service: self.service })
    }
}

async fn healthy(State(health): State<Health>) -> Response {
    health.says("healthy", "The service is running")
}

async fn alive(State(health): State<Health>) -> Response {
    health.says("alive", "The service is alive")
}

async fn ready(State(health): State<Health>) -> Response {
    if is_ready(&health.readiness.checks().await) {
        return health.says("ready", "The service is ready");
    }
    ApiError::Status(StatusCode::SERVICE_UNAVAILABLE, "Not ready: /readyz names what is missing")
        .into_response()
}

async fn readyz(State(health): State<Health>) -> Response {
    let checks = health.readiness.checks().await;
    let (code, status) = match (is_ready(&checks), checks.iter().all(|c| c.state == Condition::Ok)) {
        (true, true) => (StatusCode::OK, "ready"),
        (true, false) => (StatusCode::OK, "degraded"),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    (code, Json(Report { status, checks })).into_response()
}

async fn metrics(State(health): State<Health>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (health.metrics)()).into_response()
}

fn is_ready(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.state != Condition::Down)
}
