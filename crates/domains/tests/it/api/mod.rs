//! System C's API on real accounts: what each route reads of a request and writes of an answer.

mod ask;
mod envelope;
mod routes;
mod whole;

use axum::{Router, http::StatusCode};
use backshift_core::QueueName;
use backshift_domains::identity::{
    CodeKey, IdentityConfig, IdentityService, OutboxCodeMail,
    api::{self, Api},
};
use backshift_http::{Shape, server};
use serde_json::{Value, json};

use crate::world::World;
use ask::{ask, request};

const PASSWORD: &str = crate::world::PASSWORD;

/// The API as the server runs it.
fn app(world: &World) -> Router {
    server::finish(api::router(Api { identity: world.service.clone() }), Shape::SystemC)
}

/// The API over the same accounts with other settings.
fn app_with(world: &World, change: impl FnOnce(&mut IdentityConfig)) -> Router {
    let mut config = IdentityConfig::new(
        "a secret of thirty-two bytes, yes".into(),
        CodeKey::from_secret(&"a key".into()),
    );
    change(&mut config);
    let outbox = OutboxCodeMail::new(world.db(), QueueName::new("identity").unwrap());
    let identity = IdentityService::new(world.db().clone(), config, std::sync::Arc::new(outbox)).unwrap();
    server::finish(api::router(Api { identity: identity.into() }), Shape::SystemC)
}

/// A world on SQLite with its API.
async fn one() -> (World, Router) {
    let world = World::new(crate::databases::sqlite().migrated().await, |_| {});
    let app = app(&world);
    (world, app)
}

fn credentials(email: &str) -> Value {
    json!({"email": email, "password": PASSWORD})
}

async fn post(app: &Router, path: &str, token: &str, body: &Value) -> (StatusCode, Value) {
    ask(app, request("POST", path, token, &body.to_string())).await
}

async fn get(app: &Router, path: &str, token: &str) -> (StatusCode, Value) {
    ask(app, request("GET", path, token, "")).await
}

/// Whether this is a time as C writes it, `2025-01-02 03:04:05`.
fn is_c_s_time(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.len() == 19
        && backshift_core::Timestamp::strptime("%Y-%m-%d %H:%M:%S %z", format!("{text} +0000")).is_ok()
}
