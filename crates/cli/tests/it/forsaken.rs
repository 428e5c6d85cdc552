//! System C's own consumer works the same queue: it takes over what a killed worker of ours had begun.

use backshift_testkit::wait;

use crate::scene::{Mood, PATIENCE, SystemC, stretched};

#[tokio::test]
async fn a_mail_that_a_foreign_consumer_took_over_is_ambiguous() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[("BACKSHIFT_WORKER_LEASE", &stretched(2_000)), ("BACKSHIFT_WORKER_FORSAKEN_AFTER", "1s")]);
    system.smtp.mood("taken@example.com", &[Mood::SilentAfterDot; 1]);
    let worker = system.worker().await;
    system.vhost.publish_mail("taken@example.com", "whose is it").await;
    // The intention stands before the first word to the server: killed between the two, the mail would not be sent at all.
    system.smtp.wait_for("taken@example.com", 1).await;
    assert_eq!(system.jobs(&["--effect", "intended"]).await.len(), 1, "{}", worker.output());
    worker.process.kill().await;
    // What C's consumer does: takes it and acknowledges.
    let letter = system.vhost.take("smtp_send_email").await;
    assert!(!letter.body.is_empty());
    let heir = system.worker().await;
    let flagged = wait::until_some(PATIENCE, || async {
        let jobs = system.jobs(&["--effect", "ambiguous"]).await;
        jobs.into_iter().find(|job| job["state"] == "dead")
    });
    let job = flagged.await.unwrap_or_else(|| panic!("nothing is flagged\n{}", heir.output()));
    assert!(job["error"].as_str().is_some_and(|text| text.contains("another consumer")), "{job:#}");
    heir.wait_metric("backshift_jobs_forsaken_total", 1.0).await;
    // Behind everything that could still come: it is not sent again by itself.
    system.vhost.publish_mail("next@example.com", "next").await;
    system.smtp.wait_for("next@example.com", 1).await;
    assert_eq!(system.smtp.count("RCPT TO:<taken@example.com>"), 1, "{}", heir.output());
    assert_eq!(heir.drained().await, Some(0));
}
