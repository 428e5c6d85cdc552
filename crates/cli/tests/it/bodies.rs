//! Bodies of mails that system C's exchange brings and that do not say what they are: nowhere in the database unless
//! `mail.keep_foreign_bodies` keeps them, and the mails are sent, retried and dead-lettered all the same.
//!
//! Every column of every table is looked through, as text and as the hexadecimal of bytes.

use backshift_testkit::wait;
use serde_json::json;

use crate::scene::{Mood, PATIENCE, SystemC};

const MARK: &str = "code-739154-of-lan";
const QUEUE: &str = "smtp_send_email";
const LATER: Mood = Mood::Rcpt("450 4.2.0 come again");
const NEVER: Mood = Mood::Rcpt("550 5.1.1 nobody of that name");

async fn publish(system: &SystemC, name: &str) {
    let mail = json!({"Recipient": format!("{name}@example.com"), "Subject": name, "Body": format!("<p>{MARK} {name}</p>")});
    system.vhost.publish_bare(mail.to_string()).await;
}

/// Where the mark stands in the database: the tables, with what is in the row beside it.
async fn places(system: &SystemC) -> Vec<(String, String)> {
    let hex: String = MARK.bytes().map(|byte| format!("{byte:02x}")).collect();
    let tables = "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables WHERE table_type = \
         'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')";
    let mut found = Vec::new();
    for table in system.rows(tables, &[]).await {
        let table: String = table.get(0);
        for row in system.rows(&format!("SELECT row_to_json(t)::text FROM {table} t"), &[]).await {
            let row: String = row.get(0);
            if row.contains(MARK) || row.contains(&hex) {
                found.push((table.clone(), row));
            }
        }
    }
    found
}

async fn wait_status(system: &SystemC, subject: &str, status: &str) {
    let rows = "SELECT status FROM background_jobs WHERE status = $1 AND (headers::text LIKE $2 OR convert_from(payload, 'UTF8') LIKE $2)";
    let like = format!("%{subject}%");
    let reached = wait::until(PATIENCE, || async { system.rows(rows, &[&status, &like]).await.len() == 1 });
    assert!(reached.await, "{subject} is not {status}: {:#?}", system.jobs(&[]).await);
}

/// One mail that is sent at once, one that is sent at its second attempt or waits for it, one that nobody takes.
async fn all_ways(kept: bool, base: &str, second: &str) {
    let Some(mut system) = SystemC::new().await else { return };
    let keep = kept.to_string();
    system.set(&[
        ("BACKSHIFT_MAIL_RETRY_BASE", base),
        ("BACKSHIFT_MAIL_RETRY_CAP", base),
        ("BACKSHIFT_MAIL_KEEP_FOREIGN_BODIES", &keep),
    ]);
    system.smtp.mood("second@example.com", &[LATER]);
    system.smtp.mood("never@example.com", &[NEVER]);
    let worker = system.worker().await;
    for name in ["first", "second", "never"] {
        publish(&system, name).await;
    }
    for (name, status) in [("first", "completed"), ("second", second), ("never", "dead")] {
        wait_status(&system, name, status).await;
    }
    let sent = if second == "completed" { vec!["first", "second"] } else { vec!["first"] };
    for name in &sent {
        let mails = system.smtp.wait_for(&format!("{name}@example.com"), 1).await;
        assert!(mails[0].data.contains(MARK), "the mail has its body");
    }
    let dead = system.vhost.take(&format!("{QUEUE}.dlq")).await;
    assert!(String::from_utf8_lossy(&dead.body).contains(MARK), "a dead letter has its body");
    let found = places(&system).await;
    if kept {
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(found.iter().all(|(table, _)| table.ends_with("background_jobs")), "{found:#?}");
    } else {
        assert_eq!(found, [], "nothing is kept");
    }
    assert!(!worker.output().contains(MARK), "{}", worker.output());
    assert_eq!(worker.drained().await, Some(0));
}

#[tokio::test]
async fn the_ledger_has_no_body_of_a_mail_that_does_not_say_what_it_is() {
    all_ways(false, "50ms", "completed").await;
}

#[tokio::test]
async fn nor_has_it_while_the_mail_waits_for_another_attempt() {
    all_ways(false, "1h", "retrying").await;
}

#[tokio::test]
async fn the_setting_keeps_them() {
    all_ways(true, "50ms", "completed").await;
}

#[tokio::test]
async fn the_setting_keeps_them_also_while_a_mail_waits() {
    all_ways(true, "1h", "retrying").await;
}
