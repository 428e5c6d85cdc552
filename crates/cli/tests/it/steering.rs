//! Operators and mails on RabbitMQ: pausing the queue, cancelling what waits, retrying what is dead.

use backshift_brokers::rabbitmq::STEPS;
use backshift_testkit::wait;

use crate::{
    outcomes::wait_jobs,
    scene::{Mood, PATIENCE, SystemC, stretched},
};

#[tokio::test]
async fn a_paused_mail_queue_rests_in_every_worker_and_its_depth_shows() {
    let Some(system) = SystemC::new().await else { return };
    let workers = [system.worker().await, system.worker().await];
    system.run(&["queues", "pause", "smtp_send_email"]).await.done();
    // A pause reaches the workers within moments; this mail may still pass, or be the first to rest.
    system.vhost.publish_mail("first@example.com", "first").await;
    let resting = wait::until(PATIENCE, || async {
        let sent = system.smtp.mails().len();
        system.vhost.publish_mail("probe@example.com", "does it rest").await;
        !wait::until(std::time::Duration::from_millis(700), || async { system.smtp.mails().len() > sent })
            .await
    });
    assert!(resting.await, "{}", workers[0].output());
    let sent = system.smtp.mails().len();
    for n in 0..5 {
        system.vhost.publish_mail(&format!("rest{n}@example.com"), "resting").await;
    }
    assert_eq!(workers[0].get("/readyz").await.unwrap().status, 200, "a pause is no fault");
    assert_eq!(system.smtp.mails().len(), sent);
    system.run(&["queues", "resume", "smtp_send_email"]).await.done();
    for n in 0..5 {
        system.smtp.wait_for(&format!("rest{n}@example.com"), 1).await;
    }
    system.smtp.wait_for("first@example.com", 1).await;
    let jobs = system.jobs(&["--kind", "email.send"]).await;
    assert!(jobs.iter().all(|job| job["attempt"] == 1), "a pause counts no attempt: {jobs:#?}");
}

#[tokio::test]
async fn a_mail_that_waits_for_its_retry_can_be_cancelled() {
    let Some(mut system) = SystemC::new().await else { return };
    // It still waits when the command comes, and leaves the broker within the test's patience.
    let later = stretched(4_000);
    system.set(&[("BACKSHIFT_MAIL_RETRY_BASE", &later), ("BACKSHIFT_MAIL_RETRY_CAP", &later)]);
    let worker = system.worker().await;
    system.smtp.mood("never@example.com", &[Mood::Rcpt("450 4.2.0 later"); 9]);
    system.vhost.publish_mail("never@example.com", "no more").await;
    let job = wait_jobs(&system, "retrying", 1).await.remove(0);
    system.run(&["jobs", "cancel", job["id"].as_str().unwrap()]).await.done();
    let tried = system.smtp.count("RCPT");
    wait_jobs(&system, "cancelled", 1).await;
    let gone = wait::until(PATIENCE, || async {
        let mut left = system.vhost.depth("smtp_send_email").await.unwrap_or(0);
        for (step, _) in STEPS {
            left += system.vhost.depth(&format!("smtp_send_email.retry.{step}")).await.unwrap_or(0);
        }
        left == 0
    });
    assert!(gone.await, "its message leaves the broker");
    system.vhost.publish_mail("next@example.com", "next").await;
    system.smtp.wait_for("next@example.com", 1).await;
    assert_eq!(
        system.smtp.count("RCPT TO:<never@example.com>"),
        tried,
        "not tried again\n{}",
        worker.output()
    );
    wait_jobs(&system, "cancelled", 1).await;
}

#[tokio::test]
async fn a_dead_mail_is_sent_when_an_operator_retries_it() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[("BACKSHIFT_MAIL_KEEP_FOREIGN_BODIES", "true")]);
    system.vhost.neighbour("email_backup").await;
    let _worker = system.worker().await;
    system.smtp.mood("blocked@example.com", &[Mood::Rcpt("554 5.7.1 blocked")]);
    system.vhost.publish_mail("blocked@example.com", "please").await;
    let job = wait_jobs(&system, "dead", 1).await.remove(0);
    assert_eq!(job["reason"], "permanent");
    system.run(&["jobs", "retry", job["id"].as_str().unwrap()]).await.done();
    system.smtp.wait_for("blocked@example.com", 1).await;
    let job = wait_jobs(&system, "completed", 1).await.remove(0);
    assert_eq!(
        (job["attempt"].as_u64(), job["effect"].as_str()),
        (Some(1), Some("done")),
        "fresh attempts: {job}"
    );
    assert_eq!(system.vhost.depth("email_backup").await, Some(1), "a retry does not pass the exchange");
    assert_eq!(system.jobs(&["--kind", "email.send"]).await.len(), 1);
}

#[tokio::test]
async fn a_dead_mail_whose_body_was_not_kept_says_where_its_bytes_are() {
    let Some(system) = SystemC::new().await else { return };
    let _worker = system.worker().await;
    system.smtp.mood("blocked@example.com", &[Mood::Rcpt("554 5.7.1 blocked")]);
    system.vhost.publish_mail("blocked@example.com", "please").await;
    let job = wait_jobs(&system, "dead", 1).await.remove(0);
    let ended = system.run(&["jobs", "retry", job["id"].as_str().unwrap()]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("queue of dead letters"), "{ended:?}");
    let kept = wait::until(PATIENCE, || async { system.vhost.depth("smtp_send_email.dlq").await == Some(1) });
    assert!(kept.await, "the dead letters have its bytes");
}
