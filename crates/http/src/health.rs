//! Whether the process lives and whether it is ready, in C's shape and in the shape of probes, and `/metrics`.
//!
//! *Ready* looks only at what this process cannot work without; what is degraded is named and keeps it ready. Details
//! name hosts, roles and queues: they are for ports that only operators reach, see [`Shown`].

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use serde::Serialize;

use crate::{API, ApiError, envelope};

/// How one part that the process depends on is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The part: `database`, `broker`, `mail`, `queue:smtp_send_email` …
    pub name: String,
    /// How it is.
    pub state: Condition,
    /// What kind of thing is wrong; anybody may know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What is wrong and what happens next; no credentials. May name hosts and roles.
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

/// What kind of thing is wrong, in one word that tells a stranger nothing about the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The process is still starting.
    Starting,
    /// It does not answer in time.
    Timeout,
    /// It cannot be reached.
    Unreachable,
    /// It answers and refuses.
    Refused,
    /// It is paused until a probe succeeds.
    Paused,
    /// It does not do its work.
    NotWorking,
}

impl Check {
    /// A part that works.
    pub fn ok(name: impl Into<String>) -> Self {
        Self { name: name.into(), state: Condition::Ok, cause: None, detail: None }
    }

    /// A part that is away while the process works on.
    pub fn degraded(name: impl Into<String>, cause: Cause, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state: Condition::Degraded,
            cause: Some(cause),
            detail: Some(detail.into()),
        }
    }

    /// A part without which the process is not ready.
    pub fn down(name: impl Into<String>, cause: Cause, detail: impl Into<String>) -> Self {
        Self { name: name.into(), state: Condition::Down, cause: Some(cause), detail: Some(detail.into()) }
    }
}

/// Looks at every part; bounded in time. Requests that come while somebody looks share what is seen.
#[async_trait]
pub trait Readiness: Send + Sync + 'static {
    /// The parts and how they are.
    async fn checks(&self) -> Vec<Check>;
}

/// Gives a page of text; who makes it decides how old it may be.
pub type Page = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

/// What the health routes need.
#[derive(Clone)]
pub struct Health {
    /// The service's name in C's answers.
    pub service: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// Whether it is ready.
    pub readiness: Arc<dyn Readiness>,
    /// The metrics in Prometheus' text format.
    pub metrics: Page,
    /// How much is said, by who reaches this port.
    pub shown: Shown,
}

/// How much `/readyz` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Everything: only operators reach this port.
    Details,
    /// The parts, how they are, and the kind of cause: anybody reaches this port.
    Causes,
}

/// Where the metrics are.
pub(crate) const METRICS: &str = "/metrics";

/// The paths of probes, at the root and under the API's prefix.
const PROBES: [&str; 6] = ["/healthz", "/readyz", METRICS, "/health", "/ready", "/live"];

/// Whether health is asked for: that is answered when there is no room for anything else.
pub(crate) fn is_probe(path: &str) -> bool {
    PROBES.contains(&path) || path.strip_prefix(API).is_some_and(|rest| PROBES[3..].contains(&rest))
}

/// `/health`, `/ready`, `/live` at the root and under the API's prefix, and everything of [`probes`].
pub fn router(health: Health) -> Router {
    let asked = Asked::new(health);
    let of_c = || {
        Router::new()
            .route("/health", get(healthy))
            .route("/ready", get(ready))
            .route("/live", get(alive))
            .with_state(asked.clone())
    };
    Router::new().merge(of_c()).nest(API, of_c()).merge(of_probes(asked.clone()))
}

/// `/healthz`, `/readyz`, `/metrics`: all that a worker's port shows.
pub fn probes(health: Health) -> Router {
    of_probes(Asked::new(health))
}

fn of_probes(asked: Asked) -> Router {
    Router::new()
        .route("/healthz", get(|| async { Json(Report { status: "ok", checks: Vec::new() }) }))
        .route("/readyz", get(readyz))
        .route(METRICS, get(metrics))
        .with_state(asked)
}

type Look = Shared<BoxFuture<'static, Arc<Vec<Check>>>>;

/// The health and the look at it that is under way, if one is: however many ask, the database is asked once.
#[derive(Clone)]
struct Asked {
    health: Health,
    under_way: Arc<Mutex<Option<Look>>>,
}

impl Asked {
    fn new(health: Health) -> Self {
        Self { health, under_way: Arc::default() }
    }

    async fn checks(&self) -> Arc<Vec<Check>> {
        let look = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            // A look that is over is not a look: what it saw may be old.
            match under_way.clone().filter(|look| look.peek().is_none()) {
                Some(look) => look,
                None => under_way.insert(look(&self.health.readiness)).clone(),
            }
        };
        look.await
    }
}

fn look(readiness: &Arc<dyn Readiness>) -> Look {
    let readiness = Arc::clone(readiness);
    async move { Arc::new(readiness.checks().await) }.boxed().shared()
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

impl Asked {
    fn says(&self, status: &'static str, message: &'static str) -> Response {
        let Health { version, service, .. } = self.health;
        envelope::success(Status { status, message, version, service })
    }
}

async fn healthy(State(asked): State<Asked>) -> Response {
    asked.says("healthy", "The service is running")
}

async fn alive(State(asked): State<Asked>) -> Response {
    asked.says("alive", "The service is alive")
}

async fn ready(State(asked): State<Asked>) -> Response {
    if is_ready(&asked.checks().await) {
        return asked.says("ready", "The service is ready");
    }
    ApiError::Status(StatusCode::SERVICE_UNAVAILABLE, "Not ready: /readyz names what is missing")
        .into_response()
}

async fn readyz(State(asked): State<Asked>) -> Response {
    let mut checks = asked.checks().await.to_vec();
    let (code, status) = match (is_ready(&checks), checks.iter().all(|c| c.state == Condition::Ok)) {
        (true, true) => (StatusCode::OK, "ready"),
        (true, false) => (StatusCode::OK, "degraded"),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    if asked.health.shown == Shown::Causes {
        checks.iter_mut().for_each(|check| check.detail = None);
    }
    (code, Json(Report { status, checks })).into_response()
}

async fn metrics(State(asked): State<Asked>) -> Response {
    let page = (asked.health.metrics)().await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response()
}

fn is_ready(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.state != Condition::Down)
}
