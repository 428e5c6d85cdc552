//! What becomes of a job that is enqueued: new, known, or held back by its unique key.

use std::time::Duration;

use backshift_core::{
    Accepted, Envelope, State, StoreError, Timestamp, UniqueKey, UniquePolicy, store::Jobs, wire::SENSITIVE,
};
use backshift_store::{Database, ledger, migrate};

use crate::{
    on_both_databases,
    world::{completed, failed, job, queue},
};

fn unique(policy: UniquePolicy, payload: &'static str) -> Envelope {
    let mut envelope = job("ready");
    envelope.payload = payload.into();
    envelope.unique = Some(UniqueKey { key: "user-7".into(), policy });
    envelope
}

on_both_databases! {
    async fn everything_that_was_said_comes_back_with_the_claim(world) {
        let mut envelope = job("ready");
        envelope.payload = vec![0, 159, 255].into();
        envelope.headers.insert("traceparent".into(), "00-1-2-01\n\u{0}ü".into());
        envelope.max_attempts = Some(7);
        envelope.priority = -3;
        envelope.user_id = Some(envelope.id.0);
        envelope.idempotency_key = Some("once".into());
        envelope.unique = Some(UniqueKey { key: "k".into(), policy: UniquePolicy::KeepLast });
        assert_eq!(world.enqueue(envelope.clone()).await, Accepted::New(envelope.id));
        let (mut claimed, start) = world.claim("w").await.unwrap();
        claimed.created_at = envelope.created_at;
        assert_eq!(claimed, envelope);
        assert_eq!((start.attempt, start.starts, start.crashes, start.max_attempts), (1, 1, 0, Some(7)));
        assert_eq!((start.lease.job, start.lease.token.0), (envelope.id, 1));
    }

    async fn an_id_or_idempotency_key_is_accepted_once_and_the_first_payload_is_kept(world) {
        let mut first = job("ready");
        first.idempotency_key = Some("order-1".into());
        let other_payload = Envelope { payload: "{}".into(), ..first.clone() };
        let mut same_key = job("ready");
        same_key.idempotency_key = Some("order-1".into());
        let answers = world.enqueue_all(vec![first.clone(), first.clone(), other_payload, same_key]).await;
        let answers: Vec<Accepted> = answers.into_iter().map(Result::unwrap).collect();
        let known = |same_payload| Accepted::Known { id: first.id, same_payload };
        assert_eq!(answers, [Accepted::New(first.id), known(true), known(false), known(true)]);
        let (claimed, start) = world.claim("w").await.unwrap();
        assert_eq!(claimed.payload, first.payload);
        assert!(world.claim("w").await.is_none());
        world.finish(start.lease, completed()).await;
        assert_eq!(world.enqueue(first.clone()).await, known(true), "also after its end");
    }

    async fn one_bad_key_takes_no_other_job_with_it(world) {
        let mut bad = job("ready");
        bad.idempotency_key = Some("a\0b".into());
        let good = job("ready");
        let answers = world.enqueue_all(vec![bad, good.clone()]).await;
        assert!(matches!(&answers[0], Err(StoreError::Rejected(text)) if text.contains("NUL")));
        assert_eq!(*answers[1].as_ref().unwrap(), Accepted::New(good.id));
    }

    async fn a_rejected_job_names_the_one_that_holds_the_key(world) {
        let first = world.enqueue(unique(UniquePolicy::Reject, "1")).await.id();
        assert_eq!(world.enqueue(unique(UniquePolicy::Reject, "2")).await, Accepted::Unique(first));
        let (_, start) = world.claim("w").await.unwrap();
        assert_eq!(world.enqueue(unique(UniquePolicy::Reject, "3")).await, Accepted::Unique(first), "running");
        world.finish(start.lease, completed()).await;
        assert!(matches!(world.enqueue(unique(UniquePolicy::Reject, "4")).await, Accepted::New(_)), "free again");
    }

    async fn a_waiting_job_is_replaced_and_a_running_one_wins(world) {
        let first = world.enqueue(unique(UniquePolicy::Replace, "1")).await.id();
        let mut second = unique(UniquePolicy::Replace, "2");
        second.priority = 9;
        assert_eq!(world.enqueue(second).await, Accepted::Unique(first));
        let (claimed, start) = world.claim("w").await.unwrap();
        assert_eq!((claimed.id, &claimed.payload[..], claimed.priority), (first, &b"2"[..], 9));
        assert_eq!(world.enqueue(unique(UniquePolicy::Replace, "3")).await, Accepted::Unique(first));
        world.finish(start.lease, failed(&claimed, Duration::ZERO)).await;
        assert_eq!(&world.claim("w").await.unwrap().0.payload[..], b"2");
    }

    async fn the_last_one_wins_and_waits_for_the_one_that_runs(world) {
        let first = world.enqueue(unique(UniquePolicy::KeepLast, "1")).await.id();
        let second = world.enqueue(unique(UniquePolicy::KeepLast, "2")).await;
        assert!(matches!(second, Accepted::New(_)));
        assert_eq!(world.state(first).await, State::Cancelled);
        let (running, start) = world.claim("w").await.unwrap();
        let third = world.enqueue(unique(UniquePolicy::KeepLast, "3")).await.id();
        let fourth = world.enqueue(unique(UniquePolicy::KeepLast, "4")).await.id();
        assert_eq!(world.state(third).await, State::Cancelled, "one successor only");
        assert!(world.claim("w").await.is_none(), "not beside the one that runs");
        world.finish(start.lease, failed(&running, Duration::ZERO)).await;
        assert_eq!(world.state(running.id).await, State::Cancelled, "superseded instead of retried");
        assert_eq!(world.claim("w").await.unwrap().0.id, fourth);
    }

    async fn many_enqueues_of_one_key_at_once_make_one_job(world) {
        let calls = (0..12).map(|_| async {
            world.enqueue(unique(UniquePolicy::Reject, "x")).await
        });
        let answers = futures::future::join_all(calls).await;
        let new = answers.iter().filter(|answer| matches!(answer, Accepted::New(_))).count();
        assert_eq!(new, 1, "{answers:?}");
    }

    async fn a_sensitive_payload_is_shown_to_nobody_and_gone_at_the_end(world) {
        let mut secret = job("ready");
        secret.headers.insert(SENSITIVE.into(), "1".into());
        world.enqueue(secret.clone()).await;
        assert_eq!(world.store.find(secret.id).await.unwrap().unwrap().payload, None);
        let (claimed, start) = world.claim("w").await.unwrap();
        assert_eq!(claimed.payload, secret.payload);
        world.finish(start.lease, completed()).await;
        let kept = world.db().sql("SELECT COUNT(*) FROM background_jobs WHERE payload IS NOT NULL");
        assert_eq!(kept.one::<i64>().await.unwrap(), 0);
        assert!(matches!(world.enqueue(secret).await, Accepted::Known { same_payload: true, .. }));
    }

    async fn a_declared_queue_is_shown_before_its_first_job(world) {
        use backshift_core::store::Queues;
        ledger::declare(world.db(), &queue("new")).await.unwrap();
        ledger::declare(world.db(), &queue("new")).await.unwrap();
        let counts = world.store.counts().await.unwrap();
        assert_eq!(counts.iter().map(|c| c.queue.as_str()).collect::<Vec<_>>(), ["new"]);
    }

    async fn a_job_in_somebody_elses_transaction_is_whole(world) {
        use backshift_store::foreign::enqueue_in;
        let mut envelope = job("ready");
        envelope.headers.insert("a".into(), "\"b\"".into());
        envelope.attempt = 3;
        envelope.priority = 4;
        let mut later = job("ready");
        later.run_at = Some("2099-01-01T00:00:00.000001Z".parse::<Timestamp>().unwrap());
        let mut tx = world.db().begin().await.unwrap();
        let added = enqueue_in(&mut tx, world.broker.parse().unwrap(), &[envelope.clone(), later.clone()]).await.unwrap();
        assert_eq!(added, 2);
        assert_eq!(enqueue_in(&mut tx, world.broker.parse().unwrap(), &[envelope.clone()]).await.unwrap(), 0);
        tx.commit().await.unwrap();
        let (mut claimed, start) = world.claim("w").await.unwrap();
        claimed.created_at = envelope.created_at;
        assert_eq!((claimed, start.attempt), (envelope, 3));
        let waiting = world.store.find(later.id).await.unwrap().unwrap();
        assert_eq!((waiting.state, waiting.run_at), (State::Scheduled, later.run_at.unwrap()));
    }
}

#[tokio::test]
async fn an_adopted_table_keeps_its_rows_and_is_never_claimed_from() {
    let Some(place) = crate::place::postgres().await else { return };
    for text in [
        "CREATE TABLE background_jobs (id uuid PRIMARY KEY, user_id uuid NOT NULL, job_type varchar(50) NOT NULL, \
         status varchar(20), attempts int DEFAULT 0, error_message text, created_at timestamp DEFAULT now())",
        "INSERT INTO background_jobs VALUES ('019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55', \
         '019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a56', 'user verification', 'pending')",
    ] {
        place.db.sql(text).run().await.unwrap();
    }
    migrate::up_adopting(&place.db, &[&migrate::ENGINE], &["background_jobs".to_owned()]).await.unwrap();
    let store = backshift_store::SqlStore::new(place.db.clone());
    let jobs = store.list(&Default::default(), &Default::default()).await.unwrap();
    assert_eq!((jobs.len(), jobs[0].broker.as_str(), jobs[0].state), (1, "adopted", State::Available));
    let holder = crate::world::holder("w");
    assert!(ledger::claim_available(&place.db, &queue("adopted"), 10, &holder).await.unwrap().is_empty());
    assert!(matches!(&place.db, Database::Pg(_)));
}
