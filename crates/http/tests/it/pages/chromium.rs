//! The pages in a real Chromium: what a person sees, and that no policy is broken on the way.
//!
//! Skipped with its reason where no browser is installed, unless `BACKSHIFT_REQUIRE=all` is set.

use std::time::Duration;

use backshift_http::server::{Limits, Times};
use backshift_testkit::{
    browser::{self, Seen},
    programs,
};

use super::house::{HOSTILE, House};
use crate::port::{self, Running};

/// The pages on a real port, until the value goes.
pub(super) struct Port {
    pub(super) base: String,
    running: Running,
}

impl Port {
    pub(super) async fn open(app: axum::Router) -> Self {
        let times = Times { grace: Duration::from_millis(100), ..Times::default() };
        let running = port::start(app, Limits { times, ..Limits::default() }).await;
        Self { base: format!("http://{}", running.address), running }
    }

    pub(super) async fn close(mut self) {
        let _ = self.running.stop.take().map(|stop| stop.send(()));
        self.running.task.await.unwrap().unwrap();
    }
}

/// On the screen of a telephone.
pub(super) async fn look(url: &str) -> Seen {
    browser::look(url, 360).await.unwrap()
}

#[tokio::test]
async fn pages_show_hostile_text_and_break_no_policy() {
    if programs::require("chromium").is_none() {
        return;
    }
    let house = House::open().await;
    let payload = serde_json::json!({"key": HOSTILE, "Recipient": "anna@example.com"}).to_string();
    let id = house.enqueue("email.send", "mail", &payload).await;
    house.kill("mail", HOSTILE).await;

    let port = Port::open(house.app.clone()).await;
    let base = &port.base;
    for (path, wanted) in [
        ("/overview".to_owned(), "One thing needs you."),
        ("/jobs".into(), "All jobs."),
        (format!("/jobs/{id}"), "Why is it dead?"),
        ("/queues".into(), "<h1>"),
        (format!("/jobs/{id}/delete"), "cannot be brought back"),
        ("/causes".into(), "Dead letters of 1 cause."),
        ("/many?deed=retry&state=dead".into(), "Run again 1 job?"),
        ("/hands".into(), "Nobody did anything by hand."),
        ("/workers".into(), "No worker runs."),
    ] {
        let seen = look(&format!("{base}{path}")).await;
        assert!(seen.dom.contains(wanted), "{path} lacks {wanted}: {}", seen.dom);
        assert!(!seen.dom.contains("<img") && !seen.dom.contains("<script>"), "{path}: {}", seen.dom);
        assert!(!seen.dom.contains("anna@") || !path.starts_with("/jobs"), "{path}: {}", seen.dom);
        assert_eq!(seen.console, "", "{path}: the browser complained");
    }
    port.close().await;
}
