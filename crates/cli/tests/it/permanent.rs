//! docs/contracts/system-c.md, "Mail outcome": what is never tried again, and who is suppressed for it.

use backshift_testkit::wait;
use serde_json::json;

use crate::{
    outcomes::wait_jobs,
    scene::{Mood, PATIENCE, SystemC},
};

#[tokio::test]
async fn permanent_refusals_are_dead_at_once_and_only_bad_addresses_are_suppressed() {
    let Some(system) = SystemC::new().await else { return };
    let _worker = system.worker().await;
    let rows = [
        ("r550.5.1.1@example.com", Mood::Rcpt("550 5.1.1 no such user"), true),
        ("r550@example.com", Mood::Rcpt("550 no such user"), true),
        ("r551@example.com", Mood::Rcpt("551 5.1.6 moved"), true),
        ("r553@example.com", Mood::Rcpt("553 5.1.3 bad address"), true),
        ("r550.5.7.1@example.com", Mood::Rcpt("550 5.7.1 policy"), false),
        ("r554@example.com", Mood::Rcpt("554 5.7.1 blocked"), false),
        ("f554@example.com", Mood::Final("554 5.7.1 spam"), false),
        ("f552@example.com", Mood::Final("552 5.3.4 too big"), false),
        ("f554.5.6.0@example.com", Mood::Final("554 5.6.0 content"), false),
    ];
    for (to, mood, _) in rows {
        system.smtp.mood(to, &[mood; 5]);
        let before = system.smtp.count("RCPT");
        system.vhost.publish_mail(to, "no").await;
        let dead = system.vhost.take("smtp_send_email.dlq").await;
        assert_eq!(dead.header("backshift-reason").as_deref(), Some("permanent"), "{to}");
        assert_eq!(dead.header("backshift-attempt").as_deref(), Some("1"), "{to}");
        assert!(String::from_utf8_lossy(&dead.body).contains(to), "{to}");
        assert_eq!(system.smtp.count("RCPT") - before, 1, "{to} is tried once");
    }
    let listed = system.run(&["suppressions", "list", "--json"]).await.done().list();
    let mut suppressed: Vec<&str> = listed.iter().map(|row| row["address"].as_str().unwrap()).collect();
    suppressed.sort_unstable();
    let mut expected: Vec<&str> = rows.iter().filter(|row| row.2).map(|row| row.0).collect();
    expected.sort_unstable();
    assert_eq!(suppressed, expected);
    wait_jobs(&system, "dead", rows.len()).await;
    assert!(system.smtp.mails().is_empty());
}

#[tokio::test]
async fn a_full_mailbox_is_tried_again_slowly() {
    let Some(system) = SystemC::new().await else { return };
    let _worker = system.worker().await;
    system.smtp.mood("full@example.com", &[Mood::Rcpt("552 5.2.2 mailbox full")]);
    system.vhost.publish_mail("full@example.com", "no room").await;
    let job = wait_jobs(&system, "retrying", 1).await.remove(0);
    assert!(job["error"].as_str().unwrap().contains("552"), "{job}");
    assert_eq!(system.vhost.depth("smtp_send_email.dlq").await.unwrap_or(0), 0);
    assert!(system.run(&["suppressions", "list", "--json"]).await.done().list().is_empty());
}

#[tokio::test]
async fn a_suppressed_address_gets_no_mail_and_that_is_no_error() {
    let Some(system) = SystemC::new().await else { return };
    let worker = system.worker().await;
    system.run(&["suppressions", "add", "Quiet@Example.com", "--reason", "manual"]).await.done();
    system.vhost.publish_mail("quiet@example.com", "hush").await;
    let job = wait_jobs(&system, "completed", 1).await.remove(0);
    let shown = system.run(&["jobs", "show", "--json", job["id"].as_str().unwrap()]).await.done().json();
    assert_eq!(
        (&shown["note"], &shown["error"], &shown["effect"]),
        (&json!("suppressed"), &json!(null), &json!("none"))
    );
    system.vhost.wait_settled("smtp_send_email").await;
    worker.wait_metric("email_suppressed_total", 1.0).await;
    assert_eq!(
        (system.smtp.count("RCPT"), system.vhost.depth("smtp_send_email.dlq").await.unwrap_or(0)),
        (0, 0)
    );
    let sends = system.rows("SELECT outcome, recipient_masked FROM email_sends", &[]).await;
    assert_eq!(sends.len(), 1);
    assert_eq!(sends[0].get::<_, String>(0), "suppressed");
    assert!(!sends[0].get::<_, String>(1).contains("quiet"), "masked");

    a_code_is_sent_all_the_same(&system).await;
    system.run(&["suppressions", "remove", "QUIET@example.com"]).await.done();
    system.vhost.publish_mail("quiet@example.com", "loud").await;
    let there = wait::until(PATIENCE, || async { system.smtp.mails_to("quiet@example.com").len() == 2 });
    assert!(there.await, "{}", worker.output());
    assert_eq!(
        system.run(&["suppressions", "remove", "quiet@example.com"]).await.code,
        2,
        "it is not there any more"
    );
    assert_eq!(system.run(&["suppressions", "add", "nobody"]).await.code, 2);
}

/// The scope of a suppression is everything but what the person waits for.
async fn a_code_is_sent_all_the_same(system: &SystemC) {
    let api = system.api().await;
    api.register("quiet@example.com", "correct horse").await;
    assert_eq!(api.send_otp("quiet@example.com", "correct horse").await.code(), 0);
    system.smtp.wait_for("quiet@example.com", 1).await[0].code();
}
