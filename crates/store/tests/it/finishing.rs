//! Results: applied once, refused when the token is not the row's, and repeatable when the answer was lost.

use std::time::Duration;

use backshift_core::{
    Ack, Reason, Settled, Settlement, State, StoreError,
    settle::Completion,
    store::{Finish, Jobs},
};
use backshift_store::{foreign::finish_lease_in, ledger};

use crate::{
    on_both_databases,
    world::{completed, completed_in_transaction, dead, failed, job, snoozed},
};

on_both_databases! {
    async fn a_completion_keeps_output_and_note(world) {
        let (envelope, start) = world.running("w").await;
        let said = Completion { output: Some("out".into()), note: Some("suppressed".into()), ..Completion::default() };
        let done = Settlement::Ack(Ack::Completed(said));
        assert_eq!(world.finish(start.lease, done.clone()).await, Settled::Applied);
        assert_eq!(world.finish(start.lease, done).await, Settled::Applied, "its answer may have been lost");
        let record = world.store.find(envelope.id).await.unwrap().unwrap();
        assert_eq!((record.state, record.attempt), (State::Completed, 1));
        assert_eq!((record.output.as_deref(), record.note.as_deref()), (Some(&b"out"[..]), Some("suppressed")));
        assert_eq!((record.payload, record.worker), (Some(envelope.payload), None));
        let starts = world.store.attempts(envelope.id).await.unwrap();
        assert_eq!(starts[0].outcome.as_deref(), Some("completed"));
        assert_eq!(starts[0].ended_at, record.finished_at);
    }

    async fn a_failure_counts_and_a_snooze_does_not(world) {
        let (envelope, start) = world.running("w").await;
        let hour = Duration::from_secs(3600);
        assert_eq!(world.finish(start.lease, snoozed(&envelope, hour)).await, Settled::Applied);
        let record = world.store.find(envelope.id).await.unwrap().unwrap();
        assert_eq!((record.state, record.attempt), (State::Scheduled, 1));
        world.store.retry(envelope.id).await.unwrap();
        let (envelope, start) = world.claim("w").await.unwrap();
        assert_eq!((start.attempt, start.starts), (1, 2));
        assert_eq!(world.finish(start.lease, failed(&envelope, hour)).await, Settled::Applied);
        assert_eq!(world.finish(start.lease, failed(&envelope, hour)).await, Settled::Applied, "repeated");
        let record = world.store.find(envelope.id).await.unwrap().unwrap();
        assert_eq!((record.state, record.attempt), (State::Retrying, 2));
        assert_eq!(record.error.as_deref(), Some("it broke"));
        assert!(record.run_at > record.created_at + Duration::from_secs(3500));
        let outcomes: Vec<_> = world.store.attempts(envelope.id).await.unwrap();
        let outcomes: Vec<_> = outcomes.iter().filter_map(|a| a.outcome.as_deref()).collect();
        assert_eq!(outcomes, ["released", "error"]);
    }

    async fn a_stale_result_changes_nothing(world) {
        let (envelope, old) = world.running("w1").await;
        world.finish(old.lease, snoozed(&envelope, Duration::ZERO)).await;
        let (_, new) = world.claim("w2").await.unwrap();
        for late in [completed(), failed(&envelope, Duration::ZERO), dead(Reason::Permanent), Settlement::Ack(Ack::Cancelled), completed_in_transaction()] {
            assert_eq!(world.finish(old.lease, late).await, Settled::Stale);
        }
        let record = world.store.find(envelope.id).await.unwrap().unwrap();
        assert_eq!((record.state, record.token), (State::Running, new.lease.token));
        assert_eq!(world.finish(new.lease, completed()).await, Settled::Applied);
    }

    async fn a_mixed_batch_is_answered_in_order(world) {
        world.enqueue_all((0..5).map(|_| job("ready")).collect()).await;
        let claimed = world.claim_many("w", 5).await;
        let mut batch: Vec<Finish> = claimed.iter().enumerate().map(|(n, (envelope, start))| Finish {
            lease: start.lease,
            durable: false,
            settlement: match n {
                0 | 4 => completed(),
                1 => failed(envelope, Duration::ZERO),
                2 => dead(Reason::Expired),
                _ => Settlement::Ack(Ack::Cancelled),
            },
        }).collect();
        batch[4].lease.token.0 = 99;
        let answers = ledger::finish(world.db(), batch).await.unwrap();
        assert_eq!(answers[..4], [Settled::Applied; 4]);
        assert_eq!(answers[4], Settled::Stale);
        let mut states = Vec::new();
        for (envelope, _) in &claimed {
            states.push(world.state(envelope.id).await);
        }
        assert_eq!(states, [State::Completed, State::Available, State::Dead, State::Cancelled, State::Running]);
        let dead = world.store.find(claimed[2].0.id).await.unwrap().unwrap();
        assert_eq!((dead.reason.as_deref(), dead.error.as_deref()), (Some("expired"), Some("no hope")));
    }

    async fn an_effect_and_its_completion_stand_or_fall_together(world) {
        let (envelope, start) = world.running("w1").await;
        world.db().sql("CREATE TABLE effects (job_id uuid, token bigint)").run().await.unwrap();
        let effect = "INSERT INTO effects (job_id, token) VALUES ($1, $2)";
        let count =
            || async { world.db().sql("SELECT COUNT(*) FROM effects").one::<i64>().await.unwrap() };
        world.end_lease(envelope.id).await;
        backshift_core::store::Maintenance::rescue(&world.store).await.unwrap();
        let (_, newer) = world.claim("w2").await.unwrap();
        let mut late = world.db().begin().await.unwrap();
        late.sql(effect).bind(envelope.id).bind(start.lease.token).run().await.unwrap();
        assert!(matches!(finish_lease_in(&mut late, &start.lease).await, Err(StoreError::Stale)));
        late.rollback().await.unwrap();
        assert_eq!(count().await, 0);
        let mut tx = world.db().begin().await.unwrap();
        tx.sql(effect).bind(envelope.id).bind(newer.lease.token).run().await.unwrap();
        finish_lease_in(&mut tx, &newer.lease).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(world.finish(newer.lease, completed_in_transaction()).await, Settled::Applied);
        assert_eq!((count().await, world.state(envelope.id).await), (1, State::Completed));
    }

    async fn a_transaction_that_did_not_commit_is_a_counted_failure(world) {
        let (envelope, start) = world.running("w").await;
        // Stale: a foreign broker must deliver again instead of hearing an ack.
        assert_eq!(world.finish(start.lease, completed_in_transaction()).await, Settled::Stale);
        let record = world.store.find(envelope.id).await.unwrap().unwrap();
        assert_eq!((record.state, record.attempt), (State::Retrying, 2));
        assert!(record.error.unwrap().contains("not committed"));
    }

    async fn a_long_error_with_a_nul_is_storable(world) {
        let (envelope, start) = world.running("w").await;
        let Settlement::Retry(mut retry) = failed(&envelope, Duration::ZERO) else { panic!("a retry") };
        if let Some(error) = &mut retry.error {
            error.message = format!("a\0{}", "é".repeat(9000));
        }
        assert_eq!(world.finish(start.lease, Settlement::Retry(retry)).await, Settled::Applied);
    }
}
