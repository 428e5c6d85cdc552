//! A `backshift api` process and what a client of system C says to it.

use backshift_testkit::{ports::free_port, process::Running, wait};
use serde_json::{Value, json};

use super::{Answer, PATIENCE, Settings, request};

/// An API; it is killed with its value.
pub(crate) struct Api {
    pub(crate) process: Running,
    pub(crate) port: u16,
}

impl Api {
    /// Starts it and waits until it is ready.
    pub(crate) async fn ready(settings: &Settings) -> Self {
        let port = free_port().unwrap();
        let settings = settings.with(&[("APP_PORT", &port.to_string())]);
        let api = Self { process: Running::start(&["api"], &settings.pairs()), port };
        let ready = wait::until(PATIENCE, || async {
            request(port, "GET", "/readyz", &[], b"").await.is_ok_and(|answer| answer.status == 200)
        });
        assert!(ready.await, "the API is not ready:\n{}", api.process.output());
        api
    }

    /// Sends JSON to a path below `/api/v1`.
    pub(crate) async fn send(&self, method: &str, path: &str, token: Option<&str>, body: &Value) -> Answer {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(bearer.as_deref().map(|value| ("Authorization", value)));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let path = format!("/api/v1{path}");
        request(self.port, method, &path, &headers, body.as_bytes()).await.expect("the API answers")
    }

    /// POST without a token.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, None, &body).await
    }

    /// GET below `/api/v1`.
    pub(crate) async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.send("GET", path, token, &Value::Null).await
    }

    /// GET at the root.
    pub(crate) async fn page(&self, path: &str) -> Answer {
        request(self.port, "GET", path, &[], b"").await.expect("the API answers")
    }

    /// Registers.
    pub(crate) async fn register(&self, email: &str, password: &str) -> Answer {
        self.post("/authentication/register", json!({"email": email, "password": password})).await
    }

    /// Asks for a code.
    pub(crate) async fn send_otp(&self, email: &str, password: &str) -> Answer {
        self.post("/authentication/send-otp", json!({"email": email, "password": password})).await
    }

    /// Enters a code.
    pub(crate) async fn verify(&self, email: &str, code: &str) -> Answer {
        self.post("/authentication/verify-otp", json!({"email": email, "otp": code})).await
    }

    /// Signs in.
    pub(crate) async fn login(&self, email: &str, password: &str) -> Answer {
        self.post("/authentication/login", json!({"email": email, "password": password})).await
    }
}
