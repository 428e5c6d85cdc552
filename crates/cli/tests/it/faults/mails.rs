//! System C's mails: a worker dies at each point of a delivery, and every mail arrives once.
//!
//! None of these points lies between the final dot and its answer, and one mail is under way at a time, so that none may
//! be flagged as ambiguous; that gap is `a_worker_killed_between_dot_and_answer_leaves_the_same_flag`.

use backshift_core::Failpoint;
use backshift_testkit::wait;

use crate::{
    outcomes::wait_jobs,
    scene::{PATIENCE, SystemC, Worker},
};

const MAILS: usize = 4;

async fn dies_at(system: &SystemC, point: Failpoint) {
    let to = |n: usize| format!("{point}{n}@example.com");
    for n in 0..MAILS {
        system.vhost.publish_mail(&to(n), "once").await;
    }
    let failpoint = format!("{point}:abort:1");
    // A neighbour that is between its dot and the answer when the worker dies would be flagged, and rightly so.
    let plan =
        system.settings.with(&[("BACKSHIFT_FAILPOINT", &failpoint), ("BACKSHIFT_MAIL_CONCURRENCY", "1")]);
    let mut doomed = Worker::start(&["worker"], &plan);
    let ended = doomed.process.ended(PATIENCE).await;
    let ended = ended.unwrap_or_else(|| panic!("it never came to {point}\n{}", doomed.output()));
    assert_eq!(ended.code(), None, "{point}: it ends by a signal\n{}", doomed.output());
    let heir = system.worker().await;
    for n in 0..MAILS {
        system.smtp.wait_for(&to(n), 1).await;
    }
    let acked = wait::until(PATIENCE, || async { system.vhost.depth("smtp_send_email").await == Some(0) });
    assert!(acked.await, "{point}\n{}", heir.output());
    assert_eq!(heir.drained().await, Some(0));
}

#[tokio::test]
async fn a_worker_dies_at_each_point_and_every_mail_arrives_once() {
    let Some(system) = SystemC::new().await else {
        return;
    };
    // Without a queue, the exchange would have nobody to hand its mails to.
    assert_eq!(system.worker().await.drained().await, Some(0));
    let points = Failpoint::ALL.into_iter().filter(|point| *point != Failpoint::AfterCopy);
    let mut all = 0;
    for point in points {
        dies_at(&system, point).await;
        all += MAILS;
        let jobs = wait_jobs(&system, "completed", all).await;
        assert!(jobs.iter().all(|job| job["attempt"] == 1 && job["effect"] == "done"), "{point}: {jobs:#?}");
        assert_eq!(system.smtp.mails().len(), all, "{point}: each once");
    }
    assert_eq!(system.vhost.depth("smtp_send_email").await, Some(0));
    assert_eq!(system.vhost.depth("smtp_send_email.dlq").await.unwrap_or(0), 0);
}
