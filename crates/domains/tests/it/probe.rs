//! The probe: each mode, and the effect that is there once.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Envelope, JobContext, JobResult, Kind, QueueName, Reason, Registry, Timestamp, Verdict, WorkerName,
    store::{Holder, Start},
};
use backshift_domains::probe::{KIND, ProbeEffects, ProbeLog, ProbeWorker};
use backshift_store::{Database, SqlStore, ledger};
use tokio_util::sync::CancellationToken;

use crate::databases;

fn worker() -> WorkerName {
    WorkerName::new("test").unwrap()
}

fn envelope(payload: &str) -> Envelope {
    let kind = Kind::new(KIND).unwrap();
    Envelope::new(kind, QueueName::new("probes").unwrap(), payload.as_bytes().to_vec(), Timestamp::now())
}

fn context(db: &Database, envelope: Envelope, start: &Start) -> JobContext {
    let context = JobContext::new(envelope, worker(), CancellationToken::new());
    context.with_ledger(start.lease, start.starts, Arc::new(SqlStore::new(db.clone())))
}

async fn claim(db: &Database) -> (Envelope, Start) {
    let holder = Holder { worker: worker(), lease: Duration::from_secs(30) };
    let queue = QueueName::new("probes").unwrap();
    ledger::claim_available(db, &queue, 1, &holder).await.unwrap().pop().expect("a job waits")
}

async fn run(effects: ProbeEffects, context: &JobContext) -> JobResult {
    let registry = ProbeWorker::new(effects).register(Registry::default());
    registry.handle(context.clone()).unwrap().await
}

async fn enqueued(db: &Database, payload: &str) -> (Envelope, Start) {
    let accepted = ledger::enqueue(db, broker(db), vec![envelope(payload)]).await;
    assert!(accepted.into_iter().all(|answer| answer.is_ok()));
    claim(db).await
}

fn broker(db: &Database) -> &'static str {
    if db.as_pg().is_some() { "postgres" } else { "embedded" }
}

async fn count(db: &Database, text: &'static str) -> i64 {
    db.sql(text).one::<i64>().await.unwrap()
}

#[tokio::test]
async fn the_effect_and_the_completion_are_one() {
    for fresh in databases::migrated().await {
        let db = &fresh.db;
        let (job, start) = enqueued(db, r#"{"key":"a"}"#).await;
        let context = context(db, job, &start);
        run(ProbeEffects::Store(db.clone()), &context).await.unwrap();
        assert!(context.said().finished_in_transaction);
        assert_eq!(count(db, "SELECT count(*) FROM backshift_probe_effects WHERE key = 'a'").await, 1);
        assert_eq!(count(db, "SELECT count(*) FROM background_jobs WHERE status = 'completed'").await, 1);
        let times = "SELECT count(*) FROM backshift_probe_attempts a JOIN backshift_probe_effects e \
                     ON a.token = e.token AND a.started_at <= e.at";
        assert_eq!(count(db, times).await, 1);

        // The same attempt once more, as after a lost answer: the lease is over, nothing is added.
        let again = run(ProbeEffects::Store(db.clone()), &context).await.unwrap_err();
        assert!(again.message().contains("lease"), "{again}");
        assert_eq!(count(db, "SELECT count(*) FROM backshift_probe_effects").await, 1);
        assert_eq!(count(db, "SELECT count(*) FROM backshift_probe_attempts").await, 2);
    }
}

#[tokio::test]
async fn a_failed_attempt_has_its_row_and_no_effect() {
    for fresh in databases::migrated().await {
        let db = &fresh.db;
        let (job, start) = enqueued(db, r#"{"key":"a","mode":"fail","fails":1}"#).await;
        run(ProbeEffects::Store(db.clone()), &context(db, job, &start)).await.unwrap_err();
        assert_eq!(count(db, "SELECT count(*) FROM backshift_probe_attempts").await, 1);
        assert_eq!(count(db, "SELECT count(*) FROM backshift_probe_effects").await, 0);
    }
}

fn plain(payload: &str, attempt: u32) -> JobContext {
    let mut envelope = envelope(payload);
    envelope.attempt = attempt;
    JobContext::new(envelope, worker(), CancellationToken::new())
}

#[tokio::test]
async fn each_mode_does_what_it_says() {
    let run = |context: JobContext| async move { run(ProbeEffects::Nowhere, &context).await };
    let verdict = |result: JobResult| result.unwrap_err().verdict().clone();
    run(plain("{}", 1)).await.unwrap();
    run(plain(r#"{"key":"k","mode":"ok","ms":0,"fails":0}"#, 1)).await.unwrap();
    run(plain(r#"{"mode":"sleep","ms":5}"#, 1)).await.unwrap();
    run(plain(r#"{"mode":"block","ms":5}"#, 1)).await.unwrap();
    assert_eq!(verdict(run(plain(r#"{"mode":"fail","fails":2}"#, 2)).await), Verdict::Retry);
    run(plain(r#"{"mode":"fail","fails":2}"#, 3)).await.unwrap();
    let permanent = verdict(run(plain(r#"{"mode":"permanent"}"#, 1)).await);
    assert_eq!(permanent, Verdict::DeadLetter(Reason::Permanent));
    let snooze = verdict(run(plain(r#"{"mode":"snooze","ms":70,"fails":1}"#, 1)).await);
    assert_eq!(snooze, Verdict::Snooze(Duration::from_millis(70)));
    run(plain(r#"{"mode":"crash","fails":0}"#, 1)).await.unwrap();
    for bad in ["", "7", r#"{"mode":"explode"}"#, r#"{"ms":-1}"#] {
        assert_eq!(verdict(run(plain(bad, 1)).await), Verdict::DeadLetter(Reason::Malformed), "{bad}");
    }
    let panics = tokio::spawn(run(plain(r#"{"mode":"panic","fails":1}"#, 1))).await;
    assert!(panics.unwrap_err().is_panic());
    run(plain(r#"{"mode":"panic","fails":1}"#, 2)).await.unwrap();
}

#[tokio::test]
async fn snooze_counts_starts_and_sleep_stops_when_told() {
    for fresh in databases::migrated().await {
        let (job, start) = enqueued(&fresh.db, r#"{"mode":"snooze","ms":1,"fails":1}"#).await;
        let second = Start { starts: 2, ..start };
        run(ProbeEffects::Nowhere, &context(&fresh.db, job, &second)).await.unwrap();
    }
    let stop = CancellationToken::new();
    let sleeper = JobContext::new(envelope(r#"{"mode":"sleep","ms":600000}"#), worker(), stop.clone());
    let sleeping = tokio::spawn(async move { run(ProbeEffects::Nowhere, &sleeper).await });
    stop.cancel();
    let error = sleeping.await.unwrap().unwrap_err();
    assert!(matches!(error.verdict(), Verdict::Snooze(_)), "it goes back uncounted");
}

#[tokio::test]
async fn without_a_store_each_effect_is_a_line_and_a_second_run_a_second_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("effects");
    let effects = ProbeEffects::File(ProbeLog::open(&path).unwrap());
    let job = plain(r#"{"key":"a"}"#, 1);
    for lines in 1..=2 {
        run(effects.clone(), &job).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), lines, "on disk before the ack");
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&first["key"], &first["attempt"]), (&"a".into(), &1.into()));
    assert_eq!(first["job_id"], job.id().to_string());
}
