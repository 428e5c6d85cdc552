//! The page *Try it* of `dev`: each button, the form with what is wrong at its field, and that no other process has it.

use backshift_core::JobId;
use backshift_testkit::{
    browser::{self, Seen},
    ports::free_port,
    process::Running,
    programs, wait,
};

use crate::scene::{Answer, Embedded, PATIENCE, request};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

struct Dev {
    process: Running,
    port: u16,
    here: Embedded,
}

impl Dev {
    async fn start() -> Self {
        let (here, port) = (Embedded::with(&[]), free_port().unwrap());
        let settings = here.settings.with(&[("BACKSHIFT_DEV_PORT", &port.to_string())]);
        let process = Running::start(&["dev"], &settings.pairs());
        assert!(process.wait_for_output("worked in this process", PATIENCE).await, "{}", process.output());
        let dev = Self { process, port, here };
        // The form knows what the worker has announced.
        let known = wait::until(PATIENCE, || async { dev.get("/try").await.body.contains("demo.slow\"") });
        assert!(known.await, "{}", dev.process.output());
        dev
    }

    async fn get(&self, path: &str) -> Answer {
        request(self.port, "GET", path, &[("Accept", "text/html")], b"").await.unwrap()
    }

    async fn post(&self, path: &str, site: &str, fields: &str) -> Answer {
        let headers = [FORM, ("Sec-Fetch-Site", site)];
        request(self.port, "POST", path, &headers, fields.as_bytes()).await.unwrap()
    }

    /// Presses a button; where it leads.
    async fn press(&self, number: usize) -> String {
        let answer = self.post(&format!("/try/{number}"), "same-origin", "").await;
        assert_eq!(answer.status, 303, "{answer:?}");
        answer.header("location").unwrap().to_owned()
    }

    async fn shows(&self, path: &str, text: &str) {
        let there = wait::until(PATIENCE, || async { self.get(path).await.body.contains(text) });
        assert!(there.await, "{text} is not on {path}: {}", self.get(path).await.body);
    }
}

#[tokio::test]
async fn each_button_enqueues_what_it_says() {
    let dev = Dev::start().await;
    let output = dev.process.output();
    assert!(
        output.contains("/try") && output.contains("/mailbox") && output.contains("/overview"),
        "{output}"
    );
    // Its steps are shown only as long as it runs.
    let slow = dev.press(1).await;
    dev.shows(&slow, "of 20 steps").await;
    let [ok, flaky, failing] = [dev.press(0).await, dev.press(2).await, dev.press(3).await];
    dev.shows(&ok, "demo.ok is done").await;
    dev.shows(&failing, "the demo was asked to fail for good").await;
    dev.shows("/overview", "1 dead letter in default").await;
    assert_eq!(dev.press(4).await, "/jobs?find=kind:demo.ok");
    let done = ["--state", "completed", "--kind", "demo.ok", "--limit", "500"];
    let all = wait::until(PATIENCE, || async { dev.here.list(&done).await.len() == 201 });
    assert!(all.await, "{} are done\n{}", dev.here.list(&done).await.len(), dev.process.output());
    dev.shows(&flaky, "demo.flaky is done").await;
    assert!(dev.get(&flaky).await.body.contains("503 try again later (attempt 2)"));
    assert_eq!(dev.post("/try/99", "same-origin", "").await.status, 404);
    assert_eq!(dev.post("/try/0", "cross-site", "").await.status, 403, "no other site presses a button");
}

#[tokio::test]
async fn the_form_says_at_each_field_what_is_wrong_and_keeps_what_was_written() {
    let dev = Dev::start().await;
    let wrong =
        dev.post("/try", "same-origin", "kind=no.such&queue=a+b&payload=%7B%22to%22%3A+%3Cb%3E%7D").await;
    assert_eq!(wrong.status, 422, "{wrong:?}");
    for said in [
        "No worker knows no.such. There are ",
        "demo.flaky",
        "id=\"wrong-queue\"",
        "This is no JSON: ",
        "column 8",
    ] {
        assert!(wrong.body.contains(said), "{said}: {}", wrong.body);
    }
    assert!(wrong.body.contains("value=\"no.such\"") && wrong.body.contains("&lt;b&gt;"), "{}", wrong.body);
    assert!(dev.here.list(&[]).await.is_empty(), "nothing of it was enqueued");
    for (fields, at) in [("kind=&payload=1", "wrong-kind"), ("kind=demo.ok&payload=", "wrong-payload")] {
        let wrong = dev.post("/try", "same-origin", fields).await;
        assert!(wrong.status == 422 && wrong.body.contains(&format!("id=\"{at}\"")), "{fields}: {wrong:?}");
    }
    let large = format!("kind=demo.ok&payload=%22{}%22", "x".repeat(300_000));
    let large = dev.post("/try", "same-origin", &large).await;
    assert!(large.status >= 400, "{}", large.status);
    let right = dev.post("/try", "same-origin", "kind=demo.ok&payload=%7B%7D").await;
    assert_eq!(right.status, 303, "{right:?}");
    let to = right.header("location").unwrap().to_owned();
    assert!(to.strip_prefix("/jobs/").is_some_and(|id| id.parse::<JobId>().is_ok()), "{to}");
    dev.shows(&to, "demo.ok is done").await;
}

#[tokio::test]
async fn a_browser_shows_it_and_only_dev_has_it() {
    let dev = Dev::start().await;
    if programs::require("chromium").is_none() {
        return;
    }
    let seen = browser::look(&format!("http://127.0.0.1:{}/try", dev.port), 390).await.unwrap();
    let Seen { dom, console } = &seen;
    assert!(dom.contains("Enqueue 200") && dom.contains("name=\"payload\""), "{dom}\n{console}");
    assert!(!console.contains("Content Security Policy"), "{console}");
    let port = free_port().unwrap();
    let ui = Running::start(&["ui", "--listen", &format!("127.0.0.1:{port}")], &dev.here.settings.pairs());
    assert!(ui.wait_for_output("pages are at", PATIENCE).await, "{}", ui.output());
    for (method, path) in [("GET", "/try"), ("POST", "/try"), ("POST", "/try/0")] {
        let headers = [FORM, ("Sec-Fetch-Site", "same-origin")];
        let answer = request(port, method, path, &headers, b"").await.unwrap();
        assert_eq!(answer.status, 404, "{method} {path}");
    }
}
