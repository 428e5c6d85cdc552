//! How processes end, and what they say while they live.

use std::time::Duration;

use backshift_testkit::{process::Signal, wait};
use serde_json::json;

use crate::{
    outcomes::wait_jobs,
    scene::{PATIENCE, SystemC, Worker, stretched},
    secrets::holds_code,
};

#[tokio::test]
async fn sigterm_lets_mails_end_and_takes_no_new_ones() {
    let Some(system) = SystemC::new().await else { return };
    system.smtp.slow(Duration::from_millis(800));
    for signal in [Signal::TERM, Signal::INT] {
        let mut worker = system.worker().await;
        let to = format!("last-{}@example.com", signal.as_raw());
        system.vhost.publish_mail(&to, "under way").await;
        let begun = wait::until(PATIENCE, || async { system.smtp.count(&format!("RCPT TO:<{to}>")) == 1 });
        assert!(begun.await, "{}", worker.output());
        worker.process.signal(signal);
        assert!(worker.process.wait_for_output("stopping", PATIENCE).await);
        system.vhost.publish_mail("next@example.com", "for the next worker").await;
        assert_eq!(worker.process.ended(PATIENCE).await.and_then(|status| status.code()), Some(0));
        assert_eq!(system.smtp.mails_to(&to).len(), 1, "the mail under way was finished");
    }
    system.smtp.slow(Duration::ZERO);
    assert!(
        system.smtp.mails_to("next@example.com").is_empty()
            || system.smtp.mails_to("next@example.com").len() == 1
    );
    let _worker = system.worker().await;
    system.smtp.wait_for("next@example.com", 2).await;
    let jobs = wait_jobs(&system, "completed", 4).await;
    assert!(jobs.iter().all(|job| job["attempt"] == 1 && job["effect"] == "done"), "{jobs:#?}");
    assert_eq!(system.smtp.mails().len(), 4, "each once");
}

/// A worker with one probe that takes ten minutes; `block` does not stop when it is told to, `sleep` does.
async fn busy(system: &SystemC, mode: &str) -> (Worker, String) {
    let worker = system.worker().await;
    let payload = json!({"key": mode, "mode": mode, "ms": 600_000}).to_string();
    let enqueued = system.run(&["enqueue", "backshift.probe", "--payload", &payload, "--json"]).await.done();
    let id = enqueued.list()[0].as_str().unwrap().to_owned();
    let running = wait::until(PATIENCE, || async {
        !system.rows("SELECT 1 FROM backshift_probe_attempts", &[]).await.is_empty()
    });
    assert!(running.await, "{}", worker.output());
    (worker, id)
}

async fn went_back_uncounted(system: &SystemC, id: &str) {
    let back = wait::until(PATIENCE, || async {
        let job = system.run(&["jobs", "show", "--json", id]).await.done().json();
        job["state"] == "available" && job["attempt"].as_u64() <= Some(1)
    });
    assert!(back.await, "{}", system.run(&["jobs", "show", "--json", id]).await.out);
    let effects = system.rows("SELECT 1 FROM backshift_probe_effects", &[]).await;
    assert!(effects.is_empty());
}

async fn with_probe() -> Option<SystemC> {
    let mut system = SystemC::unmigrated().await?;
    system.set(&[("BACKSHIFT_PROBE", "true"), ("BACKSHIFT_WORKER_LEASE", &stretched(3_000))]);
    system.run(&["migrate", "up"]).await.done();
    Some(system)
}

#[tokio::test]
async fn a_second_sigterm_aborts_at_once_and_the_job_goes_back() {
    let Some(mut system) = with_probe().await else { return };
    // It is the signal that ends it, and neither the grace nor the job.
    system.set(&[("BACKSHIFT_SHUTDOWN_GRACE", "10m")]);
    let (mut worker, id) = busy(&system, "block").await;
    worker.process.terminate();
    assert!(worker.process.wait_for_output("stopping", PATIENCE).await);
    assert!(worker.process.ended(Duration::from_millis(500)).await.is_none(), "it waits for the job");
    assert_eq!(worker.get("/healthz").await.map(|a| a.status), Some(200), "alive while it drains");
    assert_eq!(worker.get("/readyz").await.map(|a| a.status), Some(503), "and not ready");
    worker.process.terminate();
    assert!(worker.process.ended(Duration::from_secs(4)).await.is_some(), "{}", worker.output());
    went_back_uncounted(&system, &id).await;
}

#[tokio::test]
async fn the_grace_ends_a_drain_and_the_job_goes_back() {
    let Some(mut system) = with_probe().await else { return };
    system.set(&[("BACKSHIFT_SHUTDOWN_GRACE", "1s")]);
    let (mut worker, id) = busy(&system, "block").await;
    worker.process.terminate();
    let ended = worker.process.ended(Duration::from_secs(6)).await;
    assert!(ended.is_some(), "{}", worker.output());
    went_back_uncounted(&system, &id).await;
}

#[tokio::test]
async fn a_job_that_stops_when_told_lets_the_drain_end_well() {
    let Some(mut system) = with_probe().await else { return };
    system.set(&[("BACKSHIFT_SHUTDOWN_GRACE", "1s")]);
    let (mut worker, id) = busy(&system, "sleep").await;
    worker.process.terminate();
    let ended = worker.process.ended(Duration::from_secs(6)).await;
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", worker.output());
    went_back_uncounted(&system, &id).await;
}

#[tokio::test]
async fn an_api_ends_with_0() {
    let Some(system) = SystemC::new().await else { return };
    let mut api = system.api().await;
    api.process.terminate();
    assert_eq!(api.process.ended(Duration::from_secs(8)).await.and_then(|status| status.code()), Some(0));
}

#[tokio::test]
async fn logs_have_the_seed_s_shape_and_no_secrets() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[("LOGGER_LEVEL", "debug")]);
    let (worker, api) = (system.worker().await, system.api().await);
    let (email, password) = ("confidential.person@example.com", "pa55word-in-the-test");
    api.register(email, password).await;
    api.send_otp(email, password).await;
    let code = system.smtp.wait_for(email, 1).await[0].code();
    api.verify(email, if code == "135791" { "135792" } else { "135791" }).await;
    api.verify(email, &code).await;
    let token = api.login(email, password).await.json()["data"]["token"].as_str().unwrap().to_owned();
    system.vhost.publish_mail(email, "a subject that is nobody's business").await;
    system.smtp.wait_for(email, 2).await;
    for message in [
        "Starting SMAP Consumer Service...",
        "Starting SMTP Email Consumer...",
        "Queue smtp_send_email is being consumed",
        "smtp.delivery.rabbitmq.consumer.sendEmailWorker",
        "Email sent successfully",
    ] {
        let logged = wait::until(PATIENCE, || async { worker.logged("info", message) });
        assert!(logged.await, "{message}\n{}", worker.output());
    }
    for line in worker.log() {
        assert!(line["level"].is_string() && line["msg"].is_string(), "{line}");
        assert!(line["ts"].as_str().unwrap().ends_with('Z'), "{line}");
        line["ts"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    }
    let sent = worker.log().into_iter().find(|line| line["msg"] == "Email sent successfully").unwrap();
    assert_eq!(sent["recipient"], "co***@example.com");
    assert!(sent["duration_ms"].is_u64(), "{sent}");
    let all = format!("{}\n{}", worker.output(), api.process.output());
    let secrets = [
        &code,
        password,
        "Sm7p-password",
        crate::scene::JWT_SECRET,
        &token,
        "confidential.person",
        "nobody's business",
        "hello</p>",
    ];
    for secret in secrets {
        // Six digits may stand in a time or an id by chance.
        let holds =
            |line: &&str| if *secret == *code { holds_code(line, secret) } else { line.contains(secret) };
        let leaks: Vec<&str> = all.lines().filter(holds).collect();
        assert!(leaks.is_empty(), "{secret:?} in {leaks:#?}");
    }
}

#[tokio::test]
async fn subjects_are_logged_only_on_request() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[("BACKSHIFT_LOG_SUBJECTS", "true")]);
    let worker = system.worker().await;
    system.vhost.publish_mail("a@example.com", "Email Verification").await;
    system.smtp.wait_for("a@example.com", 1).await;
    let line = wait::until_some(PATIENCE, || async {
        let taken = "smtp.delivery.rabbitmq.consumer.sendEmailWorker";
        worker.log().into_iter().find(|line| line["msg"] == taken)
    });
    assert_eq!(line.await.expect("it is logged")["subject"], "Email Verification");
}

#[tokio::test]
async fn errors_at_the_start_are_log_lines_too() {
    let worker = Worker::start(&["worker"], &crate::scene::Settings::of(&[("BACKSHIFT_WORKER_LAESE", "5s")]));
    let logged = wait::until(PATIENCE, || async { worker.output().contains("BACKSHIFT_WORKER_LEASE") });
    assert!(logged.await, "{}", worker.output());
    let first = worker.output().lines().next().unwrap().to_owned();
    let json = worker.output().lines().any(|line| {
        serde_json::from_str::<serde_json::Value>(line)
            .is_ok_and(|line| line["level"] == "error" && line["ts"].is_string())
    });
    assert!(json, "{first}");
    let mut worker = worker;
    assert_eq!(worker.process.ended(PATIENCE).await.and_then(|status| status.code()), Some(78));
}
