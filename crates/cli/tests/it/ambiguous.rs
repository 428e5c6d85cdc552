//! When nobody can know whether a mail was sent: one resend at most, always flagged, never lost.

use lapin::BasicProperties;
use serde_json::{Value, json};

use crate::{
    outcomes::wait_jobs,
    scene::{Mail, Mood, SystemC, stretched},
};

/// The same mail twice: the same id, so that a mailbox can tell.
fn are_one_mail(mails: &[Mail]) {
    assert_eq!(mails[0].message_id(), mails[1].message_id());
}

#[tokio::test]
async fn lost_after_the_final_dot_is_sent_once_more_and_flagged() {
    let Some(system) = SystemC::new().await else { return };
    let worker = system.worker().await;
    system.smtp.mood("dot@example.com", &[Mood::CutAfterDot]);
    system.vhost.publish_mail("dot@example.com", "maybe").await;
    are_one_mail(&system.smtp.wait_for("dot@example.com", 2).await);
    let job = wait_jobs(&system, "completed", 1).await.remove(0);
    assert_eq!(job["effect"], "ambiguous", "a duplicate is flagged: {job}");
    worker.wait_metric("email_ambiguous_total", 1.0).await;
    let flagged = system.jobs(&["--effect", "ambiguous"]).await;
    assert_eq!(flagged.len(), 1);
    system.vhost.wait_settled("smtp_send_email").await;
    assert_eq!(system.smtp.mails().len(), 2);
}

#[tokio::test]
async fn twice_unknown_is_held_for_a_person() {
    let Some(system) = SystemC::new().await else { return };
    let _worker = system.worker().await;
    system.smtp.mood("dot@example.com", &[Mood::CutAfterDot, Mood::CutAfterDot]);
    system.vhost.publish_mail("dot@example.com", "maybe").await;
    let dead = system.vhost.take("smtp_send_email.dlq").await;
    assert_eq!(dead.header("backshift-reason").as_deref(), Some("ambiguous"));
    let job = wait_jobs(&system, "dead", 1).await.remove(0);
    assert_eq!(job["effect"], "ambiguous", "{job}");
    assert_eq!(system.smtp.mails().len(), 2, "never a third by itself");
}

#[tokio::test]
async fn a_mail_of_a_known_class_is_held_and_retried_by_hand() {
    let Some(system) = SystemC::new().await else { return };
    let _worker = system.worker().await;
    system.smtp.mood("news@example.com", &[Mood::CutAfterDot]);
    let mut headers = lapin::types::FieldTable::default();
    headers
        .insert("backshift-mail-class".into(), lapin::types::AMQPValue::LongString("transactional".into()));
    let body = json!({"Recipient": "news@example.com", "Subject": "news", "Body": "b"}).to_string();
    system.vhost.publish(body, BasicProperties::default().with_headers(headers)).await;
    let job = wait_jobs(&system, "dead", 1).await.remove(0);
    assert_eq!(
        (job["effect"].as_str(), job["reason"].as_str()),
        (Some("ambiguous"), Some("ambiguous")),
        "{job}"
    );
    assert_eq!(system.smtp.mails().len(), 1, "held, not sent again");
    system.run(&["jobs", "retry", job["id"].as_str().unwrap()]).await.done();
    are_one_mail(&system.smtp.wait_for("news@example.com", 2).await);
    wait_jobs(&system, "completed", 1).await;
}

#[tokio::test]
async fn a_code_is_sent_once_more() {
    let Some(system) = SystemC::new().await else { return };
    let (_worker, api) = (system.worker().await, system.api().await);
    system.smtp.mood("code@example.com", &[Mood::CutAfterDot]);
    api.register("code@example.com", "correct horse").await;
    assert_eq!(api.send_otp("code@example.com", "correct horse").await.code(), 0);
    let mails = system.smtp.wait_for("code@example.com", 2).await;
    are_one_mail(&mails);
    assert_eq!(mails[0].code(), mails[1].code());
    assert_eq!(api.verify("code@example.com", &mails[1].code()).await.code(), 0);
}

#[tokio::test]
async fn a_worker_killed_between_dot_and_answer_leaves_the_same_flag() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[("BACKSHIFT_WORKER_LEASE", &stretched(2_000))]);
    let named = BasicProperties::default().with_message_id("019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55".into());
    for (n, (to, properties)) in
        [("bare@example.com", BasicProperties::default()), ("named@example.com", named)]
            .into_iter()
            .enumerate()
    {
        let first = system.worker().await;
        system.smtp.mood(to, &[Mood::SilentAfterDot]);
        let body = json!({"Recipient": to, "Subject": "cut short", "Body": "b"}).to_string();
        system.vhost.publish(&body, properties).await;
        system.smtp.wait_for(to, 1).await;
        first.process.kill().await;
        let second = system.worker().await;
        are_one_mail(&system.smtp.wait_for(to, 2).await);
        second.wait_metric("email_ambiguous_total", 1.0).await;
        wait_jobs(&system, "completed", n + 1).await;
        assert_eq!(second.drained().await, Some(0));
        assert_eq!(system.vhost.depth("smtp_send_email").await, Some(0), "acked");
    }
    let jobs: Vec<Value> = wait_jobs(&system, "completed", 2).await;
    assert!(jobs.iter().all(|job| job["effect"] == "ambiguous" && job["attempt"] == 1), "{jobs:#?}");
    assert_eq!(system.smtp.mails().len(), 4);
}

#[tokio::test]
async fn a_worker_frozen_while_it_sends_leaves_at_most_one_duplicate_and_it_is_flagged() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[("BACKSHIFT_WORKER_LEASE", &stretched(2_000))]);
    let first = system.worker().await;
    system.smtp.mood("cold@example.com", &[Mood::SilentAfterDot]);
    system.vhost.publish_mail("cold@example.com", "brr").await;
    system.smtp.wait_for("cold@example.com", 1).await;
    first.process.freeze();
    let _second = system.worker().await;
    are_one_mail(&system.smtp.wait_for("cold@example.com", 2).await);
    first.process.resume();
    let job = wait_jobs(&system, "completed", 1).await.remove(0);
    assert_eq!((job["effect"].as_str(), job["attempt"].as_u64()), (Some("ambiguous"), Some(1)), "{job}");
    drop(first);
    system.vhost.wait_settled("smtp_send_email").await;
    assert_eq!((system.smtp.mails().len(), system.jobs(&["--kind", "email.send"]).await.len()), (2, 1));
}
