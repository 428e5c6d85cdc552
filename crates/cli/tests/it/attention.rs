//! What needs a person is on the pages of another process: a mail server that died, a kind that nobody knows, a queue that
//! nobody works. And it is gone when it is mended.

use backshift_testkit::{ports::free_port, process::Running, wait};

use crate::scene::{Embedded, PATIENCE, Settings, SystemC, Worker, backshift, request};

/// `backshift ui` on this store.
struct Pages {
    process: Running,
    port: u16,
}

impl Pages {
    async fn open(settings: &Settings) -> Self {
        let port = free_port().unwrap();
        let process = Running::start(&["ui", "--listen", &format!("127.0.0.1:{port}")], &settings.pairs());
        assert!(process.wait_for_output("pages are at", PATIENCE).await, "{}", process.output());
        Self { process, port }
    }

    async fn get(&self, path: &str) -> String {
        request(self.port, "GET", path, &[("Accept", "text/html")], b"").await.expect("the pages answer").body
    }

    /// What needs a person, as the first page lists it.
    async fn needs(&self) -> String {
        let page = self.get("/overview").await;
        let needs = page.split("id=\"needs\"").nth(1).and_then(|rest| rest.split("</section>").next());
        needs.unwrap_or_else(|| panic!("{page}\n{}", self.process.output())).to_owned()
    }

    async fn wait(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let there = wait::until_some(PATIENCE, || async { Some(self.needs().await).filter(|n| holds(n)) });
        match there.await {
            Some(needs) => needs,
            None => panic!("{what}: {}", self.needs().await),
        }
    }
}

#[tokio::test]
async fn a_mail_server_that_died_is_seen_elsewhere_and_gone_when_it_is_back() {
    let Some(mut system) = SystemC::new().await else { return };
    let worker = system.worker().await;
    let pages = Pages::open(&system.settings).await;
    assert!(pages.needs().await.contains("Nothing."), "{}", pages.needs().await);
    system.smtp.stop().await;
    for n in 0..30 {
        system.vhost.publish_mail(&format!("waits{n}@example.com"), "patience").await;
    }
    let needs = pages.wait("a paused transport", |needs| needs.contains("Mail is paused in ")).await;
    assert!(
        needs.contains("Jobs are held, which uses no attempt") && needs.contains("backshift doctor"),
        "{needs}"
    );
    assert!(needs.contains("robe") && needs.contains("href=\"/workers#"), "{needs}");
    // The worker's own probe tells the same story.
    let ready = worker.get("/readyz").await.expect("the worker answers");
    assert_eq!(ready.status, 503, "{ready:?}");
    let checks = ready.json()["checks"].as_array().cloned().unwrap();
    let mail = checks.iter().find(|check| check["name"] == "mail").unwrap_or_else(|| panic!("{ready:?}"));
    let detail = mail["detail"].as_str().unwrap();
    let said = detail.strip_prefix("paused: ").and_then(|rest| rest.split("; next probe").next()).unwrap();
    let said = said.replace('\'', "&#x27;").replace('/', "&#x2f;");
    assert!(needs.contains(&said), "{said:?} is not in {needs}");
    // So does the terminal, and says that somebody must act.
    let told = backshift(&["queues", "explain", "smtp_send_email"], &system.settings.pairs()).await;
    assert_eq!(told.code, 1, "{told:?}");
    assert!(told.out.contains("1. Mail is paused in ") && told.out.contains("robe"), "{told:?}");
    assert!(told.err.contains("somebody must act. ") && told.err.contains(": backshift doctor"), "{told:?}");
    worker.wait_metric("backshift_workers_in_trouble", 1.0).await;
    let workers = pages.get("/workers").await;
    assert!(
        workers.contains("The one worker is not ready.") && workers.contains("mail is paused"),
        "{workers}"
    );
    system.smtp.restart().await;
    pages.wait("all is well again", |needs| !needs.contains("is paused")).await;
    let all = wait::until(PATIENCE, || async { system.smtp.number() >= 30 }).await;
    assert!(all, "{} mails came\n{}", system.smtp.number(), worker.output());
    let ready =
        wait::until(PATIENCE, || async { worker.get("/readyz").await.is_some_and(|a| a.status == 200) });
    assert!(ready.await, "{}", worker.output());
}

#[tokio::test]
async fn a_broker_that_cannot_be_reached_is_seen_elsewhere() {
    let Some(system) = SystemC::new().await else { return };
    let gone = format!("amqp://guest:secret-word@127.0.0.1:{}/", free_port().unwrap());
    let settings = system.settings.with(&[("RABBITMQ_URL", &gone), ("BACKSHIFT_WORKER_NAME", "cut-off")]);
    let worker = Worker::start(&["worker"], &settings);
    let pages = Pages::open(&system.settings).await;
    let needs = pages.wait("a lost broker", |needs| needs.contains("cut-off is not ready: ")).await;
    assert!(needs.contains("It tries again by itself.") && !needs.contains("secret-word"), "{needs}");
    let ready = worker.get("/readyz").await.expect("the worker answers");
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(ready.body.contains("queue smtp_send_email"), "{ready:?}");
}

#[tokio::test]
async fn a_kind_that_nobody_knows_and_a_queue_that_nobody_works_are_seen() {
    let here = Embedded::with(&[]);
    here.run(&["migrate", "up"]).await.done();
    for (kind, queue) in [("backshift.probe", "probes"), ("report.build", "lonely")] {
        let payload = r#"{"key":"k","mode":"ok","ms":0,"fails":0}"#;
        here.run(&["enqueue", kind, "--queue", queue, "--payload", payload]).await.done();
    }
    let ignorant = here.settings.with(&[("BACKSHIFT_WORKER_NAME", "ignorant")]);
    let _ignorant = Worker::ready(&["worker", "--queue", "probes:2"], &ignorant).await;
    let pages = Pages::open(&here.settings).await;
    let needs = pages
        .wait("both needs", |needs| needs.contains("knows the kind") && needs.contains("Nobody works lonely"))
        .await;
    assert!(needs.contains("No worker of probes knows the kind backshift.probe"), "{needs}");
    assert!(needs.contains("1 job is parked since "), "{needs}");
    // A worker of this binary would only park it: another program has to run.
    assert!(
        needs.contains("The program that handles report.build must run, with a pool for lonely"),
        "{needs}"
    );
    assert!(!needs.contains("backshift worker --queue lonely"), "{needs}");
    let overview = pages.get("/overview").await;
    assert!(overview.contains("<span class=\"state retrying\">Parked</span>"), "{overview}");
    let told = here.run(&["queues", "explain", "probes", "--json"]).await;
    assert_eq!(told.code, 1, "{told:?}");
    let cause = told.json()["causes"][0].clone();
    assert_eq!(cause["cause"], "No worker of probes knows the kind backshift.probe", "{cause}");
    assert_eq!(cause["command"], "backshift jobs list --queue probes --kind backshift.probe");
    let knowing = here.settings.with(&[("BACKSHIFT_WORKER_NAME", "knowing"), ("BACKSHIFT_PROBE", "true")]);
    let _knowing = Worker::ready(&["worker", "--queue", "probes:2", "--queue", "lonely:1"], &knowing).await;
    let needs = pages.wait("a worker that knows", |needs| !needs.contains("backshift.probe")).await;
    let needs = if needs.contains("Nobody works") {
        pages.wait("a worker", |needs| !needs.contains("Nobody works")).await
    } else {
        needs
    };
    assert!(!needs.contains("Nobody works lonely"), "{needs}");
    pages
        .wait("the other kind", |needs| needs.contains("No worker of lonely knows the kind report.build"))
        .await;
}
