//! Bytes that we did not write: what system C's producer sends, its spellings, and its neighbours.

use std::io::Write as _;

use mail_parser::MimeHeaders as _;
use serde_json::json;

use crate::scene::{Mood, SystemC, publish_py};

#[tokio::test]
async fn the_original_bytes_become_one_mail_each_in_every_spelling() {
    let Some(system) = SystemC::new().await else { return };
    let _worker = system.worker().await;
    let mut file = tempfile::Builder::new().prefix("Rechnung-").suffix(".bin").tempfile().unwrap();
    let bytes: Vec<u8> = (0..=255_u8).cycle().take(5000).collect();
    file.write_all(&bytes).unwrap();
    let path = file.path().to_str().unwrap();
    let html = "<p>Xin chào &amp; 1 < 2 > 0 \u{2028} end</p>";
    for spelling in ["pascal", "camel", "snake"] {
        let to = format!("{spelling}@example.com");
        let arguments = [
            "--to",
            &to,
            "--subject",
            "XÁC THỰC: 東京 & <b>",
            "--html",
            html,
            "--reply-to",
            "Lan <r@example.com>",
            "--cc",
            "copy@example.com",
            "--attach",
            path,
            "--spelling",
            spelling,
        ];
        let Some(()) = publish_py(system.vhost.url(), &arguments, b"").await else { return };
        let mail = system.smtp.wait_for(&to, 1).await.remove(0);
        assert_eq!(mail.to, [to.as_str(), "copy@example.com"]);
        let parsed = mail.parsed();
        assert_eq!(parsed.subject(), Some("XÁC THỰC: 東京 & <b>"));
        assert_eq!(parsed.from().unwrap().first().unwrap().address(), Some("noreply@smap.example"));
        assert_eq!(parsed.from().unwrap().first().unwrap().name(), Some("SMAP"));
        assert_eq!(parsed.reply_to().unwrap().first().unwrap().address(), Some("r@example.com"));
        assert_eq!(parsed.cc().unwrap().first().unwrap().address(), Some("copy@example.com"));
        assert!(parsed.body_html(0).unwrap().contains(html), "{:?}", parsed.body_html(0));
        let attached = parsed.attachment(0).expect("one attachment");
        assert_eq!(
            (attached.contents(), attached.attachment_name()),
            (&bytes[..], file.path().file_name().unwrap().to_str())
        );
    }
    system.vhost.wait_settled("smtp_send_email").await;
    assert_eq!(system.smtp.mails().len(), 3);
}

#[tokio::test]
async fn a_bare_mail_with_nulls_is_sent() {
    let Some(system) = SystemC::new().await else { return };
    let worker = system.worker().await;
    let Some(()) = publish_py(system.vhost.url(), &["--to", "bare@example.com"], b"").await else { return };
    let mail = system.smtp.wait_for("bare@example.com", 1).await.remove(0);
    assert_eq!(mail.parsed().body_html(0).unwrap().trim(), "<p>Hello &amp; welcome</p>");
    assert!(mail.parsed().cc().is_none() && mail.parsed().reply_to().is_none());
    assert!(mail.parsed().date().is_some());
    system.vhost.publish_bare(r#"{"Recipient":"less@example.com"}"#).await;
    system
        .vhost
        .publish_bare(
            r#"{"Recipient":"odd@example.com","Subject":"a\u0085b\u2028c","Later":18446744073709551616}"#,
        )
        .await;
    system.smtp.wait_for("less@example.com", 1).await;
    let odd = system.smtp.wait_for("odd@example.com", 1).await.remove(0);
    assert_eq!(odd.subject(), "a\u{85}b\u{2028}c");
    worker.wait_metric("messages_processed_success", 3.0).await;
}

#[tokio::test]
async fn two_equal_mails_are_two_mails() {
    let Some(system) = SystemC::new().await else { return };
    let body = json!({"Recipient": "twin@example.com", "Subject": "same", "Body": "same"}).to_string();
    let _worker = system.worker().await;
    system.vhost.publish_bare(&body).await;
    system.vhost.publish_bare(&body).await;
    let mails = system.smtp.wait_for("twin@example.com", 2).await;
    system.vhost.wait_settled("smtp_send_email").await;
    assert_ne!(mails[0].message_id(), mails[1].message_id());
    assert_eq!(system.smtp.mails().len(), 2);
}

#[tokio::test]
async fn mails_of_before_the_first_worker_are_kept_when_an_api_was_there() {
    let Some(system) = SystemC::new().await else { return };
    let api = system.api().await;
    let bound = backshift_testkit::wait::until(crate::scene::PATIENCE, || async {
        system.vhost.is_bound("smtp_send_email")
    });
    assert!(bound.await, "the API declares the queue and binds it\n{}", api.process.output());
    system.vhost.publish_mail("early@example.com", "early").await;
    let _worker = system.worker().await;
    system.smtp.wait_for("early@example.com", 1).await;
}

#[tokio::test]
async fn retries_never_pass_the_exchange() {
    let Some(system) = SystemC::new().await else { return };
    system.vhost.neighbour("email_backup").await;
    let _worker = system.worker().await;
    system.smtp.mood("again@example.com", &[Mood::Rcpt("450 4.2.0 later"), Mood::Rcpt("451 4.3.0 later")]);
    system.vhost.publish_mail("again@example.com", "third time lucky").await;
    system.smtp.wait_for("again@example.com", 1).await;
    system.vhost.wait_settled("smtp_send_email").await;
    assert_eq!(system.vhost.depth("email_backup").await, Some(1));
    assert_eq!(system.smtp.count("RCPT"), 3);
}

#[tokio::test]
async fn the_queue_stays_as_the_go_consumers_declare_it() {
    let Some(system) = SystemC::new().await else { return };
    let _worker = system.worker().await;
    let queue = system.vhost.queue("smtp_send_email").expect("it is declared");
    assert_eq!(
        (&queue["durable"], &queue["auto_delete"], &queue["exclusive"]),
        (&json!(true), &json!(false), &json!(false))
    );
    let arguments = queue["arguments"].as_object().unwrap();
    // The server itself writes the queue type here.
    assert!(
        arguments.iter().all(|(name, value)| name == "x-queue-type" && value == "classic"),
        "{arguments:?}"
    );
}

#[tokio::test]
async fn large_mails_are_worked_and_too_large_ones_are_kept_whole() {
    let Some(system) = SystemC::new().await else { return };
    let worker = system.worker().await;
    let mail = |to: &str, size: usize| {
        json!({"Recipient": to, "Subject": "big", "Body": "é".repeat(size / 2)}).to_string()
    };
    system.vhost.publish_bare(mail("big@example.com", 10 << 20)).await;
    // A server of version 4 takes no message of this size by default; then there is nothing to keep.
    if system.vhost.is_version_4() {
        system.smtp.wait_for("big@example.com", 1).await;
        return;
    }
    let too_large = mail("huge@example.com", 17 << 20);
    system.vhost.publish_bare(&too_large).await;
    let dead = system.vhost.take("smtp_send_email.dlq").await;
    assert!(dead.body == too_large.as_bytes(), "byte for byte");
    assert_eq!(dead.header("backshift-reason").as_deref(), Some("too-large"), "{:?}", dead.properties);
    let there =
        backshift_testkit::wait::until(crate::scene::PATIENCE, || async { !system.smtp.mails().is_empty() });
    assert!(there.await, "{}", worker.output());
    assert_eq!(system.smtp.mails_to("big@example.com").len(), 1);
}
