//! docs/contracts/system-c.md, "Mail outcome": a transport that refuses us is paused for all, and no attempt is burnt.

use std::time::Duration;

use backshift_testkit::{pace, ports::free_port, wait};
use serde_json::json;

use crate::{
    outcomes::wait_jobs,
    scene::{PATIENCE, Place, Smtp, SystemC, Worker},
};

async fn is_paused(system: &SystemC, worker: &Worker) {
    for n in 0..3 {
        system.vhost.publish_mail(&format!("wait{n}@example.com"), "patience").await;
    }
    worker.wait_metric("mail_transport_paused", 1.0).await;
    worker.answers(503, &["mail"]).await;
    assert_eq!(worker.get("/healthz").await.unwrap().status, 200, "alive all the while");
}

async fn recovers(system: &SystemC, worker: &Worker) {
    for n in 0..3 {
        system.smtp.wait_for(&format!("wait{n}@example.com"), 1).await;
    }
    for job in wait_jobs(system, "completed", 3).await {
        assert_eq!((&job["attempt"], &job["effect"]), (&json!(1), &json!("done")), "no attempt burnt: {job}");
    }
    worker.answers(200, &[]).await;
    let goes = async || worker.metric("mail_transport_paused").await == Some(0.0);
    assert!(wait::until(PATIENCE, goes).await);
    assert_eq!(system.vhost.depth("smtp_send_email.dlq").await.unwrap_or(0), 0);
    assert_eq!(system.smtp.mails().len(), 3);
}

#[tokio::test]
async fn refused_credentials_pause_everything_until_they_work() {
    let Some(system) = SystemC::new().await else { return };
    let worker = system.worker().await;
    system.smtp.refuse_auth(Some("535 5.7.8 Authentication failed"));
    is_paused(&system, &worker).await;
    let probed = wait::until(PATIENCE, || async { system.smtp.count("AUTH") >= 3 });
    assert!(probed.await, "the pause is probed");
    assert_eq!(system.smtp.count("MAIL"), 0);
    worker.wait_logged("error", "smtp.usecase.SendEmail.DialAndSend: 535 ").await;
    system.smtp.refuse_auth(None);
    recovers(&system, &worker).await;
}

#[tokio::test]
async fn a_refused_sender_pauses_everything() {
    let Some(system) = SystemC::new().await else { return };
    let worker = system.worker().await;
    system.smtp.refuse_sender(Some("550 5.7.1 not your address"));
    is_paused(&system, &worker).await;
    assert_eq!(system.smtp.count("RCPT"), 0);
    system.smtp.refuse_sender(None);
    recovers(&system, &worker).await;
}

#[tokio::test]
async fn missing_tls_pauses_and_nothing_goes_in_clear() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[("BACKSHIFT_SMTP_TLS", "starttls")]);
    let worker = system.worker().await;
    is_paused(&system, &worker).await;
    assert_eq!((system.smtp.count("AUTH"), system.smtp.count("MAIL")), (0, 0), "no password, no address");
    assert!(wait_jobs(&system, "dead", 0).await.is_empty());
    assert_eq!(worker.drained().await, Some(0));
    system.set(&[("BACKSHIFT_SMTP_TLS", "none")]);
    let worker = system.worker().await;
    recovers(&system, &worker).await;
}

#[tokio::test]
async fn whatever_the_transport_is_refused_for_it_waits_and_burns_no_attempt() {
    let Some(system) = SystemC::new().await else { return };
    let worker = system.worker().await;
    type Refuse = fn(&Smtp, Option<&'static str>);
    let refusals: [(&str, Refuse, &str); 4] = [
        ("530 5.7.0 Authentication required", Smtp::refuse_sender, "needs-auth@example.com"),
        ("534 5.7.9 Mechanism too weak", Smtp::refuse_auth, "weak@example.com"),
        ("454 4.7.0 Temporary authentication failure", Smtp::refuse_auth, "later@example.com"),
        ("553 5.7.1 Sender address rejected", Smtp::refuse_sender, "sender@example.com"),
    ];
    for (n, (answer, refuse, to)) in refusals.into_iter().enumerate() {
        refuse(&system.smtp, Some(answer));
        // AUTH is asked on new connections only.
        system.smtp.hang_up();
        system.vhost.publish_mail(to, "patience").await;
        let asked = wait::until(PATIENCE, || async {
            worker.metric("mail_transport_paused").await == Some(1.0) && worker.logged("error", &answer[..3])
        });
        assert!(asked.await, "{answer}\n{}", worker.output());
        refuse(&system.smtp, None);
        system.smtp.wait_for(to, 1).await;
        let jobs = wait_jobs(&system, "completed", n + 1).await;
        assert!(jobs.iter().all(|job| job["attempt"] == 1), "{answer}: an attempt was burnt: {jobs:#?}");
    }
    assert_eq!(system.smtp.mails().len(), refusals.len(), "each once");
}

#[tokio::test]
async fn tls_that_is_refused_or_broken_pauses_and_nothing_goes_in_clear() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[("BACKSHIFT_SMTP_TLS", "starttls")]);
    for answer in ["454 4.7.0 TLS not available", "220 2.0.0 go ahead"] {
        system.smtp.answer_starttls(Some(answer));
        let worker = system.worker().await;
        system.vhost.publish_mail("clear@example.com", "secret").await;
        worker.wait_metric("mail_transport_paused", 1.0).await;
        worker.answers(503, &[]).await;
        assert_eq!(worker.drained().await, Some(0));
    }
    assert_eq!((system.smtp.count("AUTH"), system.smtp.count("MAIL")), (0, 0), "no password, no address");
    system.set(&[("BACKSHIFT_SMTP_TLS", "none")]);
    let _worker = system.worker().await;
    system.smtp.wait_for("clear@example.com", 2).await;
    let jobs = wait_jobs(&system, "completed", 2).await;
    assert!(jobs.iter().all(|job| job["attempt"] == 1), "an attempt was burnt: {jobs:#?}");
}

/// 75 mails wait for a server that nobody can reach; other work of the same queue does not wait with them.
async fn others_run(place: Place) {
    let nobody = free_port().unwrap().to_string();
    let place = place.with(&[
        ("SMTP_HOST", "127.0.0.1"),
        ("SMTP_PORT", &nobody),
        ("SMTP_FROM", "noreply@example.com"),
        ("BACKSHIFT_SMTP_TLS", "none"),
    ]);
    place.migrate().await;
    let mail = json!({"kind": "email.send", "queue": "default", "count": 75,
        "payload": {"Recipient": "p{n}@example.com", "Subject": "s", "Body": "b"}});
    place.enqueue(&[mail]).await;
    let worker = place.start("default:10");
    worker.wait_metric("mail_transport_paused", 1.0).await;
    let probe = |n: usize| json!({"kind": "backshift.probe", "queue": "default", "payload": {"key": format!("k{n}"), "mode": "ok"}});
    let ids = place.enqueue(&(0..10).map(probe).collect::<Vec<_>>()).await;
    for id in ids {
        let job = place.wait_state(&id, "completed").await;
        let time = |key: &str| job[key].as_str().unwrap().parse::<backshift_core::Timestamp>().unwrap();
        let took = time("finished_at").duration_since(time("created_at"));
        let soon = pace::stretched(Duration::from_secs(5));
        assert!(took.unsigned_abs() < soon, "{took:#} beside paused mails: {job:#}");
    }
    assert!(place.completed("default").await.len() == 10, "no mail was sent");
}

#[tokio::test]
async fn paused_mails_keep_no_slot_from_other_work_of_their_queue() {
    others_run(Place::embedded()).await;
    if let Some(place) = Place::postgres().await {
        others_run(place).await;
    }
    if let Some(place) = Place::rabbitmq().await {
        others_run(place).await;
    }
}
