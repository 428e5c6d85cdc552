//! The send log and the suppression list in real tables.

use std::time::Duration;

use backshift_core::{Timestamp, store::Retention as _};
use backshift_domains::mail::{DatabaseSendLog, DatabaseSuppressions, MailRetention};
use backshift_mail::{EmailAddress, SendLog, SendLogEntry, Suppression, SuppressionReason, Suppressions};
use backshift_store::Executor as _;
use backshift_testkit::wait;
use uuid::Uuid;

use crate::databases;

fn address(text: &str) -> EmailAddress {
    text.parse().unwrap()
}

/// Databases keep microseconds.
fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap()
}

fn entry(job: Uuid, attempt: u32, outcome: &'static str, at: Timestamp) -> SendLogEntry {
    SendLogEntry {
        job_id: job.to_string(),
        attempt,
        message_id: format!("<{job}@example.org>"),
        recipient: address("lan@x.io"),
        outcome,
        class: if outcome == "sent" { "" } else { "transient" },
        code: (outcome != "sent").then_some(450),
        text: "4.2.0 come back later".into(),
        at,
    }
}

#[tokio::test]
async fn the_log_gives_back_what_it_was_given_but_the_address() {
    for fresh in databases::migrated().await {
        let log = DatabaseSendLog::new(fresh.db.clone());
        let (one, other, begun) = (Uuid::now_v7(), Uuid::now_v7(), now());
        for (n, (job, outcome)) in
            [(one, "retry"), (other, "suppressed"), (one, "sent")].into_iter().enumerate()
        {
            let at = begun + Duration::from_secs(n as u64);
            log.record(entry(job, 1 + u32::from(n == 2), outcome, at)).await.unwrap();
        }
        let of_one = log.of_job(&one.to_string()).await.unwrap();
        let masked = |mut entry: SendLogEntry| {
            entry.recipient = address("la***@x.io");
            entry
        };
        let wanted = [
            masked(entry(one, 1, "retry", begun)),
            masked(entry(one, 2, "sent", begun + Duration::from_secs(2))),
        ];
        assert_eq!(of_one, wanted);
        let recent = log.recent(2).await.unwrap();
        assert_eq!(recent.iter().map(|e| e.outcome).collect::<Vec<_>>(), ["sent", "suppressed"]);
        assert!(log.of_job("no uuid").await.unwrap().is_empty());
        let leaks =
            "SELECT count(*) FROM email_sends WHERE recipient_masked LIKE '%lan@%' OR reply LIKE '%lan@%'";
        assert_eq!(fresh.db.sql(leaks).one::<i64>().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn entries_and_suppressions_end_with_their_time_in_batches() {
    for fresh in databases::migrated().await {
        let (log, list) =
            (DatabaseSendLog::new(fresh.db.clone()), DatabaseSuppressions::new(fresh.db.clone()));
        let (now, day) = (now(), Duration::from_secs(86_400));
        let job = Uuid::now_v7();
        for (attempt, age) in [(1, 91), (2, 95), (3, 92), (4, 89), (5, 0)] {
            log.record(entry(job, attempt, "sent", now - day * age)).await.unwrap();
        }
        // System B's own row has no time of ours.
        fresh.db.sql("INSERT INTO email_sends (id) VALUES ($1)").bind(Uuid::now_v7()).run().await.unwrap();
        for (name, since) in [("over", 91), ("holds", 89)] {
            let since = now - day * since;
            let address = address(&format!("{name}@x.io"));
            list.add(Suppression::new(address, SuppressionReason::HardBounce, "", since)).await.unwrap();
        }
        let for_ever = MailRetention::new(fresh.db.clone(), Duration::ZERO);
        assert_eq!(for_ever.prune(100).await.unwrap(), 1, "the suppression that is over, and no entry");
        let again = Suppression::new(address("over@x.io"), SuppressionReason::HardBounce, "", now - day * 91);
        list.add(again).await.unwrap();
        let retention = MailRetention::new(fresh.db.clone(), day * 90);
        assert_eq!(retention.prune(2).await.unwrap(), 2, "a batch");
        assert_eq!(retention.prune(2).await.unwrap(), 1);
        assert_eq!(retention.prune(2).await.unwrap(), 0);
        let left = log.of_job(&job.to_string()).await.unwrap();
        assert_eq!(left.iter().map(|e| e.attempt).collect::<Vec<_>>(), [4, 5]);
        let rows = |table: &str| format!("SELECT count(*) FROM {table}");
        assert_eq!(fresh.db.text(rows("email_sends")).one::<i64>().await.unwrap(), 3);
        assert_eq!(fresh.db.text(rows("email_suppressions")).one::<i64>().await.unwrap(), 1);
    }
}

/// On PostgreSQL; SQLite has one writer, so that nobody holds a row while it is pruned.
#[tokio::test]
async fn a_suppression_that_begins_anew_while_it_is_pruned_stays() {
    for fresh in databases::migrated().await {
        if fresh.db.as_pg().is_none() {
            continue;
        }
        let list = DatabaseSuppressions::new(fresh.db.clone());
        let (now, day) = (now(), Duration::from_secs(86_400));
        let since = now - day * 91;
        for name in ["anew", "over"] {
            let address = address(&format!("{name}@x.io"));
            list.add(Suppression::new(address, SuppressionReason::HardBounce, "", since)).await.unwrap();
        }
        let anew = fresh.db.begin().await.unwrap();
        let longer = "UPDATE email_suppressions SET expires_at = $1 WHERE address_key = 'anew@x.io'";
        anew.sql(longer).bind(now + day).run().await.unwrap();
        let retention = MailRetention::new(fresh.db.clone(), day * 90);
        let pruned = wait::within(Duration::from_secs(20), retention.prune(10)).await;
        assert_eq!(pruned.expect("it waits for nobody who holds a row").unwrap(), 1, "the other one");
        anew.commit().await.unwrap();
        assert_eq!(retention.prune(10).await.unwrap(), 0);
        assert!(list.find(&address("anew@x.io"), now).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn suppressions_hold_for_their_time_and_ignore_case() {
    for fresh in databases::migrated().await {
        let (list, now) = (DatabaseSuppressions::new(fresh.db.clone()), now());
        let bounce = Suppression::new(address("Lan@x.io"), SuppressionReason::HardBounce, "550: 5.1.1", now);
        list.add(bounce.clone()).await.unwrap();
        let found = list.find(&address("lan@X.io"), now).await.unwrap().unwrap();
        assert_eq!(found, bounce);
        assert_eq!(list.find(&address("lan@x.io"), bounce.until).await.unwrap(), None);
        assert_eq!(list.find(&address("minh@x.io"), now).await.unwrap(), None);
        let several = ["minh@x.io", "lan@X.io", "lan@x.io", "o'brien@x.io"].map(address);
        assert_eq!(list.find_all(&several, now).await.unwrap(), std::slice::from_ref(&bounce));
        assert_eq!(list.find_all(&[], now).await.unwrap(), []);

        let manual = Suppression::new(
            address("lan@x.io"),
            SuppressionReason::Manual,
            "",
            now + Duration::from_secs(9),
        );
        list.add(manual.clone()).await.unwrap();
        list.add(Suppression::new(address("an@x.io"), SuppressionReason::Complaint, "", now)).await.unwrap();
        let all = list.list(None, 10, now).await.unwrap();
        assert_eq!(all.iter().map(|s| s.address.canonical()).collect::<Vec<_>>(), ["an@x.io", "lan@x.io"]);
        assert_eq!(all[1].reason, SuppressionReason::Manual, "an address has one row");
        assert_eq!(list.list(Some(&all[0].address), 1, now).await.unwrap().len(), 1);
        assert!(list.remove(&address("LAN@x.io")).await.unwrap());
        assert!(!list.remove(&address("lan@x.io")).await.unwrap());
    }
}
