//! docs/contracts/system-c.md, "Mail outcome": what is tried again, how often, and what is kept at the end.

use backshift_testkit::wait;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use serde_json::json;

use crate::scene::{Mood, PATIENCE, SystemC, stretched};

/// Waits until so many jobs of the exchange are in this state.
pub(crate) async fn wait_jobs(system: &SystemC, state: &str, number: usize) -> Vec<serde_json::Value> {
    let filters = ["--kind", "email.send", "--state", state];
    let jobs = wait::until_some(PATIENCE, || async {
        let jobs = system.jobs(&filters).await;
        (jobs.len() == number).then_some(jobs)
    });
    match jobs.await {
        Some(jobs) => jobs,
        None => panic!("not {number} {state} jobs: {:#?}", system.jobs(&["--kind", "email.send"]).await),
    }
}

#[tokio::test]
async fn accepted_is_done_and_acked() {
    let Some(system) = SystemC::new().await else { return };
    let worker = system.worker().await;
    system.vhost.publish_mail("fine@example.com", "hello").await;
    system.smtp.wait_for("fine@example.com", 1).await;
    let job = wait_jobs(&system, "completed", 1).await.remove(0);
    assert_eq!(
        (&job["attempt"], &job["effect"], &job["queue"]),
        (&json!(1), &json!("done"), &json!("smtp_send_email"))
    );
    assert_eq!(
        (&job["broker"], &job["error"], &job["max_attempts"]),
        (&json!("rabbitmq"), &json!(null), &json!(4))
    );
    assert_eq!(worker.metric("messages_processed_errors").await, Some(0.0));
    assert_eq!(worker.drained().await, Some(0));
    assert_eq!(
        system.vhost.depth("smtp_send_email").await,
        Some(0),
        "acked: nothing went back when the worker ended"
    );
}

#[tokio::test]
async fn temporary_refusals_are_tried_again_and_count() {
    let Some(system) = SystemC::new().await else { return };
    let worker = system.worker().await;
    let rows = [
        ("r421@example.com", Mood::Rcpt("421 4.3.2 shutting down")),
        ("r450@example.com", Mood::Rcpt("450 4.2.0 greylisted")),
        ("r451@example.com", Mood::Rcpt("451 local error")),
        ("r452@example.com", Mood::Rcpt("452 4.3.1 no space")),
        ("cut@example.com", Mood::CutBeforeData),
        ("final450@example.com", Mood::Final("450 4.2.0 not now")),
    ];
    for (to, mood) in rows {
        system.smtp.mood(to, &[mood]);
        system.vhost.publish_mail(to, "again").await;
    }
    for (to, _) in rows {
        system.smtp.wait_for(to, 1).await;
    }
    for job in wait_jobs(&system, "completed", rows.len()).await {
        assert_eq!((&job["attempt"], &job["effect"]), (&json!(2), &json!("done")), "{job}");
    }
    system.vhost.wait_settled("smtp_send_email").await;
    assert_eq!(system.smtp.mails().len(), rows.len(), "each once");
    worker.wait_metric("messages_processed_errors", 6.0).await;
    assert_eq!(worker.metric("messages_consumed_total").await, Some(6.0), "first deliveries only");
    assert_eq!(worker.metric("messages_processed_errors").await, Some(6.0));
    worker.wait_logged("error", "smtp.usecase.SendEmail.DialAndSend: 450 ").await;
}

#[tokio::test]
async fn a_mail_that_is_always_refused_is_kept_as_it_came() {
    let Some(system) = SystemC::new().await else { return };
    let _worker = system.worker().await;
    system.smtp.mood("never@example.com", &[Mood::Rcpt("450 4.2.0 <never@example.com> not now"); 9]);
    let body = r#"{ "Recipient":"never@example.com",  "Subject":"\u0041","Zz":12345678901234567890.10 }"#;
    let mut headers = FieldTable::default();
    headers.insert("tenant".into(), AMQPValue::LongString("blue".into()));
    let properties = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_correlation_id("c-1".into())
        .with_message_id("evt_42".into())
        .with_app_id("smap".into())
        .with_headers(headers);
    system.vhost.publish(body, properties).await;
    let dead = system.vhost.take("smtp_send_email.dlq").await;
    assert_eq!(dead.body, body.as_bytes(), "byte for byte");
    let text = |name: &str| dead.header(name).unwrap_or_else(|| panic!("{name}: {:?}", dead.properties));
    assert_eq!(
        (text("backshift-reason").as_str(), text("backshift-attempt").as_str()),
        ("attempts-exhausted", "4")
    );
    assert_eq!((text("backshift-source").as_str(), text("tenant").as_str()), ("smtp_send_email", "blue"));
    let error = text("backshift-error");
    assert!(
        error.contains("450") && error.contains("ne***@example.com") && !error.contains("never@"),
        "{error}"
    );
    text("backshift-first-seen").parse::<jiff::Timestamp>().unwrap();
    let original = |value: &Option<lapin::types::ShortString>| value.as_ref().map(ToString::to_string);
    assert_eq!(original(dead.properties.content_type()).as_deref(), Some("text/plain"));
    assert_eq!(original(dead.properties.correlation_id()).as_deref(), Some("c-1"));
    assert_eq!(original(dead.properties.message_id()).as_deref(), Some("evt_42"));
    assert_eq!(original(dead.properties.app_id()).as_deref(), Some("smap"));
    assert_eq!(*dead.properties.delivery_mode(), Some(2), "kept across a restart");
    assert_eq!(system.smtp.count("RCPT"), 4);
    let job = wait_jobs(&system, "dead", 1).await.remove(0);
    assert_eq!((&job["attempt"], &job["effect"]), (&json!(4), &json!("none")), "{job}");
    assert!(!job["error"].as_str().unwrap().contains("never@"), "{job}");
    assert!(system.smtp.mails().is_empty());
}

#[tokio::test]
async fn a_silent_server_times_out_and_the_message_is_not_lost() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[("BACKSHIFT_SMTP_COMMAND_TIMEOUT", &stretched(700))]);
    let _worker = system.worker().await;
    system.smtp.mood("silent@example.com", &[Mood::Silent]);
    system.vhost.publish_mail("silent@example.com", "hello?").await;
    system.smtp.wait_for("silent@example.com", 1).await;
    let job = wait_jobs(&system, "completed", 1).await.remove(0);
    assert_eq!(job["attempt"], 2, "{job}");
}

#[tokio::test]
async fn nobody_listening_is_tried_again() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[("BACKSHIFT_MAIL_MAX_ATTEMPTS", "100")]);
    let worker = system.worker().await;
    system.smtp.stop().await;
    system.vhost.publish_mail("later@example.com", "later").await;
    worker.wait_metric("messages_processed_errors", 2.0).await;
    system.smtp.restart().await;
    system.smtp.wait_for("later@example.com", 1).await;
    let job = wait_jobs(&system, "completed", 1).await.remove(0);
    assert!(job["attempt"].as_u64().unwrap() >= 3, "{job}");
}

#[tokio::test]
async fn a_refused_copy_does_not_stop_the_others() {
    let Some(system) = SystemC::new().await else { return };
    let worker = system.worker().await;
    system.smtp.mood("gone@example.com", &[Mood::Rcpt("550 5.1.1 no such user")]);
    let body = json!({"Recipient": "to@example.com", "Subject": "s", "CcAddresses": ["gone@example.com", "cc@example.com"]});
    system.vhost.publish_bare(body.to_string()).await;
    let mail = system.smtp.wait_for("to@example.com", 1).await.remove(0);
    assert_eq!(mail.to, ["to@example.com", "cc@example.com"]);
    let job = wait_jobs(&system, "completed", 1).await.remove(0);
    let shown = system.run(&["jobs", "show", "--json", job["id"].as_str().unwrap()]).await.done().json();
    assert!(shown["note"].as_str().unwrap().contains("go***@example.com"), "{shown}");
    let suppressed = system.run(&["suppressions", "list", "--json"]).await.done().list();
    assert_eq!(suppressed.len(), 1, "{suppressed:?}");
    assert_eq!(suppressed[0]["address"], "gone@example.com");
    worker.wait_logged("warn", "").await;
}
