//! Two APIs and two workers at once: every mail once, and after a kill every mail at least once.

use std::{collections::HashMap, time::Duration};

use backshift_testkit::wait;
use serde_json::json;

use crate::scene::{Mood, PATIENCE, SystemC, stretched};

const MAILS: usize = 200;

fn address(n: usize) -> String {
    format!("person{n}@example.com")
}

/// How many different addresses have got mail.
fn reached(system: &SystemC) -> usize {
    let to: std::collections::HashSet<String> =
        system.smtp.mails().into_iter().flat_map(|mail| mail.to).collect();
    to.len()
}

async fn publish_all(system: &SystemC) {
    for n in 0..MAILS {
        system.vhost.publish_mail(&address(n), &format!("mail {n}")).await;
    }
}

#[tokio::test]
async fn two_apis_and_two_workers_send_every_mail_once() {
    let Some(system) = SystemC::new().await else { return };
    let workers = [system.worker().await, system.worker().await];
    let apis = [system.api().await, system.api().await];
    publish_all(&system).await;
    for n in 0..6 {
        let email = format!("signup{n}@example.com");
        apis[n % 2].register(&email, "correct horse").await;
        assert_eq!(apis[(n + 1) % 2].send_otp(&email, "correct horse").await.code(), 0);
    }
    let all = wait::until(PATIENCE, || async { reached(&system) == MAILS + 6 }).await;
    assert!(all, "{} of {} reached", reached(&system), MAILS + 6);
    system.vhost.wait_settled("smtp_send_email").await;
    assert_eq!(system.smtp.mails().len(), MAILS + 6, "each once");
    for n in 0..6 {
        let email = format!("signup{n}@example.com");
        let code = system.smtp.mails_to(&email)[0].code();
        assert_eq!(apis[n % 2].verify(&email, &code).await.code(), 0);
    }
    for worker in &workers {
        worker.wait_metric("messages_processed_success", 1.0).await;
    }
    for worker in workers {
        assert_eq!(worker.drained().await, Some(0));
    }
}

#[tokio::test]
async fn a_killed_worker_loses_nothing_and_duplicates_are_flagged() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[("BACKSHIFT_WORKER_LEASE", &stretched(2_000))]);
    system.smtp.slow(Duration::from_millis(30));
    let doomed = system.worker().await;
    let survivor = system.worker().await;
    publish_all(&system).await;
    let midway = wait::until(PATIENCE, || async { system.smtp.mails().len() >= MAILS / 4 });
    assert!(midway.await, "{}", doomed.output());
    doomed.process.kill().await;
    let all = wait::until(PATIENCE, || async { reached(&system) == MAILS }).await;
    assert!(all, "{} of {MAILS} reached\n{}", reached(&system), survivor.output());
    system.vhost.wait_settled("smtp_send_email").await;
    let done = ["--kind", "email.send", "--state", "completed"];
    let settled = wait::until(PATIENCE, || async { system.jobs(&done).await.len() == MAILS }).await;
    assert!(
        settled,
        "{:?}",
        system.jobs(&[]).await.iter().map(|job| job["state"].clone()).collect::<Vec<_>>()
    );

    let mut copies: HashMap<String, usize> = HashMap::new();
    for mail in system.smtp.mails() {
        *copies.entry(mail.message_id()).or_default() += 1;
    }
    let flagged: Vec<String> = system
        .jobs(&["--effect", "ambiguous"])
        .await
        .iter()
        .map(|job| job["id"].as_str().unwrap().to_owned())
        .collect();
    for (id, copies) in copies.iter().filter(|(_, copies)| **copies > 1) {
        assert_eq!(*copies, 2, "{id}");
        assert!(
            flagged.iter().any(|job| id.contains(job)),
            "{id} came twice and is not flagged: {flagged:?}"
        );
    }
    let attempts: Vec<_> = system.jobs(&done).await.iter().map(|job| job["attempt"].clone()).collect();
    assert!(attempts.iter().all(|attempt| *attempt == json!(1)), "a kill counts no attempt: {attempts:?}");
}

#[tokio::test]
async fn equal_mails_without_an_id_stay_apart_when_a_worker_is_killed() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[("BACKSHIFT_WORKER_LEASE", &stretched(2_000)), ("BACKSHIFT_MAIL_CONCURRENCY", "3")]);
    // Three are done, and three are under way for as long as their worker lives.
    let twins = [Mood::Friendly, Mood::Friendly, Mood::Friendly].into_iter().chain([
        Mood::SilentAfterDot,
        Mood::SilentAfterDot,
        Mood::SilentAfterDot,
    ]);
    system.smtp.mood("twin@example.com", &twins.collect::<Vec<_>>());
    let body = json!({"Recipient": "twin@example.com", "Subject": "same", "Body": "same"}).to_string();
    let doomed = system.worker().await;
    for _ in 0..12 {
        system.vhost.publish_bare(&body).await;
    }
    // Killed between two groups, a mail that the worker had and did not begin would be taken for one of the equal ones that
    // are done: without ids nobody can tell (docs/guides/system-c.md).
    let midway = wait::until(PATIENCE, || async {
        system.smtp.number() >= 6 && system.jobs(&["--state", "completed"]).await.len() == 3
    });
    assert!(midway.await, "{}", doomed.output());
    doomed.process.kill().await;
    let survivor = system.worker().await;
    let done = ["--kind", "email.send", "--state", "completed"];
    let settled = wait::until(PATIENCE, || async { system.jobs(&done).await.len() == 12 }).await;
    assert!(settled, "{:#?}\n{}", system.jobs(&[]).await, survivor.output());
    system.vhost.wait_settled("smtp_send_email").await;
    let ids: std::collections::HashSet<String> =
        system.smtp.mails().iter().map(|mail| mail.message_id()).collect();
    assert_eq!(ids.len(), 12, "each is a mail of its own");
    let (sent, flagged) = (system.smtp.mails().len(), system.jobs(&["--effect", "ambiguous"]).await.len());
    assert!(sent <= 12 + flagged, "{sent} sent, {flagged} flagged");
}
