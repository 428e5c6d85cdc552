//! What people do: look, page, count, cancel, run again; and what the pruner takes away.

use std::time::Duration;

use backshift_core::{
    JobFilter, JobId, Kind, Page, Reason, State, StoreError, UniqueKey, UniquePolicy,
    store::{Jobs, Maintenance, Queues},
};

use crate::{
    on_both_databases,
    world::{completed, dead, failed, job, queue},
};

on_both_databases! {
    async fn cancelling_depends_on_where_the_job_stands(world) {
        let waiting = world.enqueue(job("ready")).await.id();
        assert_eq!(world.store.cancel(waiting).await.unwrap(), State::Cancelled);
        assert!(world.claim("w").await.is_none());
        assert_eq!(world.store.cancel(waiting).await.unwrap(), State::Cancelled, "again");
        let (envelope, start) = world.running("w").await;
        assert_eq!(world.store.cancel(envelope.id).await.unwrap(), State::Running);
        world.finish(start.lease, failed(&envelope, Duration::ZERO)).await;
        assert_eq!(world.state(envelope.id).await, State::Cancelled, "it does not try again");
        let (envelope, start) = world.running("w").await;
        world.finish(start.lease, completed()).await;
        assert_eq!(world.store.cancel(envelope.id).await.unwrap(), State::Completed);
        assert!(matches!(world.store.cancel(JobId::generate()).await, Err(StoreError::NotFound(_))));
    }

    async fn a_dead_job_runs_again_with_fresh_attempts(world) {
        let (envelope, start) = world.running("w").await;
        world.finish(start.lease, failed(&envelope, Duration::ZERO)).await;
        let (_, start) = world.claim("w").await.unwrap();
        assert_eq!(start.attempt, 2);
        world.finish(start.lease, dead(Reason::AttemptsExhausted)).await;
        assert_eq!(world.store.find(envelope.id).await.unwrap().unwrap().attempt, 2, "the last one");
        assert_eq!(world.store.retry(envelope.id).await.unwrap(), State::Available);
        let (_, start) = world.claim("w").await.unwrap();
        assert_eq!((start.attempt, start.starts), (1, 3));
        assert_eq!(world.store.retry(envelope.id).await.unwrap(), State::Running, "nothing to do");
        assert!(matches!(world.store.retry(JobId::generate()).await, Err(StoreError::NotFound(_))));
    }

    async fn a_job_that_ends_while_it_is_told_to_run_again_is_not_said_to_have_lost_its_payload(world) {
        for round in 0..100 {
            let (envelope, start) = world.running("w").await;
            let (settled, again) = tokio::join!(
                world.finish(start.lease, dead(Reason::Permanent)),
                world.store.retry(envelope.id),
            );
            assert_eq!(settled, backshift_core::Settled::Applied);
            match again {
                Ok(State::Running) => {}
                Ok(State::Available) => drop(world.store.cancel(envelope.id).await.unwrap()),
                other => panic!("round {round}: {other:?}"),
            }
        }
    }

    async fn a_job_whose_key_is_held_by_another_cannot_run_again(world) {
        let unique = || {
            let mut envelope = job("ready");
            envelope.unique = Some(UniqueKey { key: "k".into(), policy: UniquePolicy::Reject });
            envelope
        };
        let first = world.enqueue(unique()).await.id();
        world.store.cancel(first).await.unwrap();
        world.enqueue(unique()).await;
        let refused = world.store.retry(first).await;
        assert!(matches!(&refused, Err(StoreError::Rejected(text)) if text.contains("unique key")), "{refused:?}");
        assert_eq!(world.state(first).await, State::Cancelled);
    }

    async fn pages_are_stable_while_rows_arrive(world) {
        let jobs: Vec<_> = (0..25).map(|_| job("ready")).collect();
        let mut expected: Vec<_> = jobs.iter().map(|envelope| envelope.id).collect();
        expected.reverse();
        world.enqueue_all(jobs).await;
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let rows = world.store.list(&JobFilter::default(), &Page { after, limit: 10 }).await.unwrap();
            let Some(last) = rows.last() else { break };
            after = Some(last.id);
            seen.extend(rows.iter().map(|row| row.id));
            world.enqueue(job("ready")).await;
        }
        assert_eq!(seen, expected);
        let gone = Page { after: Some(JobId::generate()), limit: 10 };
        assert!(matches!(world.store.list(&JobFilter::default(), &gone).await, Err(StoreError::NotFound(_))));
    }

    async fn every_field_of_a_filter_must_match(world) {
        let mut other = job("other");
        other.kind = Kind::new("other.kind").unwrap();
        world.enqueue_all(vec![job("ready"), job("other"), other.clone()]).await;
        let all = world.store.list(&JobFilter::default(), &Page::default()).await.unwrap();
        assert_eq!(all.len(), 3);
        let filter = JobFilter {
            state: Some(State::Available),
            kind: Some(other.kind.clone()),
            queue: Some(other.queue.clone()),
            effect: Some(backshift_core::EffectState::None),
            ..JobFilter::default()
        };
        let found = world.store.list(&filter, &Page::default()).await.unwrap();
        assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), [other.id]);
        let none = JobFilter { state: Some(State::Dead), ..filter };
        assert!(world.store.list(&none, &Page::default()).await.unwrap().is_empty());
    }

    async fn every_state_is_counted(world) {
        world.enqueue_all((0..6).map(|_| job("ready")).collect()).await;
        let claimed = world.claim_many("w", 4).await;
        world.finish(claimed[0].1.lease, completed()).await;
        world.finish(claimed[1].1.lease, dead(Reason::Permanent)).await;
        world.finish(claimed[2].1.lease, failed(&claimed[2].0, Duration::from_secs(60))).await;
        let abroad = job("mail");
        backshift_core::store::Outbox::accept(&world.store, "rabbitmq", vec![abroad]).await.unwrap();
        let counts = world.store.counts().await.unwrap();
        assert_eq!(counts.iter().map(|c| c.queue.as_str()).collect::<Vec<_>>(), ["mail", "ready"]);
        assert_eq!(counts[0].count(State::Available), 1);
        assert!(counts[0].oldest_due.is_some(), "it waits abroad");
        let states = [State::Available, State::Running, State::Retrying, State::Completed, State::Dead, State::Cancelled];
        assert_eq!(states.map(|state| counts[1].count(state)), [2, 1, 1, 1, 1, 0]);
        assert!(counts[1].oldest_due.is_some());
        assert_eq!(backshift_store::ledger::depth(world.db(), &queue("ready")).await.unwrap(), 2);
    }

    async fn old_finished_rows_go_and_dead_ones_have_a_time_of_their_own(world) {
        world.enqueue_all((0..5).map(|_| job("ready")).collect()).await;
        let claimed = world.claim_many("w", 4).await;
        for (_, start) in &claimed[..3] {
            world.finish(start.lease, completed()).await;
        }
        world.finish(claimed[3].1.lease, dead(Reason::Permanent)).await;
        for (envelope, _) in &claimed {
            world.set_time(envelope.id, "created_at", -300_000).await;
        }
        for place in [0, 1, 3] {
            world.set_time(claimed[place].0.id, "finished_at", -200_000).await;
        }
        assert_eq!(world.store.prune(Duration::from_secs(1), 1).await.unwrap(), 1);
        assert_eq!(world.store.prune(Duration::from_secs(1), 1).await.unwrap(), 1);
        assert_eq!(world.store.prune(Duration::from_secs(1), 1).await.unwrap(), 0, "kept a day at least");
        assert!(world.store.find(claimed[0].0.id).await.unwrap().is_none());
        assert!(world.store.attempts(claimed[0].0.id).await.unwrap().is_empty());
        assert_eq!(world.state(claimed[2].0.id).await, State::Completed);
        assert_eq!(world.state(claimed[3].0.id).await, State::Dead);
        let three_days = Duration::from_secs(3 * 86_400);
        assert_eq!(world.store.prune_dead(three_days, 10).await.unwrap(), 0);
        assert_eq!(world.store.prune_dead(Duration::ZERO, 10).await.unwrap(), 1);
        assert!(world.store.find(claimed[3].0.id).await.unwrap().is_none());
        assert!(world.store.attempts(claimed[3].0.id).await.unwrap().is_empty());
        assert_eq!(world.state(claimed[2].0.id).await, State::Completed);
    }

    async fn a_dead_job_of_today_stays_however_old_it_is(world) {
        world.enqueue_all(vec![job("ready"), job("ready")]).await;
        for (envelope, start) in world.claim_many("w", 2).await {
            world.finish(start.lease, dead(Reason::Permanent)).await;
            world.set_time(envelope.id, "created_at", -900_000).await;
        }
        assert_eq!(world.store.prune_dead(Duration::ZERO, 10).await.unwrap(), 0, "kept a day at least");
    }
}
