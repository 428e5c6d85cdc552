//! The outbox: accepted here, published by whoever accepted it or else by the relay.

use std::time::Duration;

use backshift_core::{
    Accepted, BrokerName, Envelope, Reason, Settled, State, Timestamp,
    store::{ClaimRequest, Claimed, Finish, Jobs, Ledger, Outbox},
    wire::{SENSITIVE, STARTED},
};
use backshift_store::foreign::enqueue_in;
use futures::future::join_all;

use crate::{
    on_both_databases,
    world::{World, dead, holder, job},
};

const HOLD: Duration = Duration::from_secs(60);

async fn taken(world: &World) -> Vec<Envelope> {
    world.store.take_unpublished("rabbitmq", 100, HOLD).await.unwrap()
}

on_both_databases! {
    async fn a_due_job_is_left_to_its_producer_for_the_hold(world) {
        let envelope = job("mail");
        let accepted = world.store.accept("rabbitmq", vec![envelope.clone(), envelope.clone()]).await.unwrap();
        assert_eq!(accepted[0], Accepted::New(envelope.id));
        assert_eq!(accepted[1], Accepted::Known { id: envelope.id, same_payload: true });
        assert!(taken(world).await.is_empty());
        assert!(world.claim("w").await.is_none(), "no SQL broker takes it");
        world.set_time(envelope.id, "created_at", -61).await;
        world.set_time(envelope.id, "run_at", -61).await;
        let mut relayed = taken(world).await;
        assert_eq!(relayed.len(), 1);
        let relayed = relayed.remove(0);
        assert_eq!((relayed.id, relayed.payload, relayed.attempt), (envelope.id, envelope.payload.clone(), 1));
        assert!(!relayed.headers.contains_key(STARTED), "its first publication");
        assert!(taken(world).await.is_empty(), "held");
        world.set_time(envelope.id, "publish_hold_until", -1).await;
        assert_eq!(taken(world).await.len(), 1, "again when it was not marked");
        world.store.mark_published(&[envelope.id]).await.unwrap();
        world.set_time(envelope.id, "publish_hold_until", -1).await;
        assert!(taken(world).await.is_empty());
    }

    async fn a_scheduled_job_is_published_when_it_is_due(world) {
        let mut envelope = job("mail");
        envelope.run_at = Some(Timestamp::now() + Duration::from_secs(60));
        world.store.accept("rabbitmq", vec![envelope.clone()]).await.unwrap();
        assert_eq!(world.state(envelope.id).await, State::Scheduled);
        assert!(taken(world).await.is_empty());
        world.set_time(envelope.id, "created_at", -10).await;
        world.set_time(envelope.id, "run_at", -1).await;
        assert_eq!(taken(world).await.len(), 1);
        assert_eq!(world.state(envelope.id).await, State::Available);
    }

    async fn a_job_of_somebody_elses_transaction_is_relayed_at_once(world) {
        let envelope = job("mail");
        let mut tx = world.db().begin().await.unwrap();
        enqueue_in(&mut tx, BrokerName::RABBITMQ, std::slice::from_ref(&envelope)).await.unwrap();
        tx.commit().await.unwrap();
        while taken(world).await.is_empty() {
            // SQLite's own clock counts milliseconds.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn two_relays_never_share_a_job(world) {
        let jobs: Vec<_> = (0..100).map(|_| job("mail")).collect();
        let mut tx = world.db().begin().await.unwrap();
        enqueue_in(&mut tx, BrokerName::RABBITMQ, &jobs).await.unwrap();
        tx.commit().await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        let mut ids: Vec<_> = join_all((0..4).map(|_| taken(world))).await.concat().iter().map(|e| e.id).collect();
        ids.sort_unstable();
        let all = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), all, "each once");
    }

    async fn a_dead_foreign_job_is_published_again_when_a_person_says_so(world) {
        let envelope = job("mail");
        let request = ClaimRequest { envelope: envelope.clone(), broker: "rabbitmq", redelivered: false, anonymous: false, except: Vec::new() };
        let Claimed::Run(start) = world.store.claim(&holder("w"), vec![request]).await.unwrap().remove(0) else {
            panic!("it runs")
        };
        let settled = world.store.finish(vec![Finish { lease: start.lease, settlement: dead(Reason::Permanent), durable: true }]).await;
        assert_eq!(settled.unwrap(), [Settled::Applied]);
        assert!(taken(world).await.is_empty());
        assert_eq!(world.store.retry(envelope.id).await.unwrap(), State::Available);
        let again = taken(world).await;
        assert_eq!(again.iter().map(|e| e.id).collect::<Vec<_>>(), [envelope.id]);
        assert!(again[0].headers.contains_key(STARTED), "not for the exchange's other readers");
    }

    async fn a_secret_leaves_the_ledger_with_its_publication(world) {
        let mut secret = job("mail");
        secret.headers.insert(SENSITIVE.into(), "1".into());
        world.store.accept("rabbitmq", vec![secret.clone()]).await.unwrap();
        world.set_time(secret.id, "created_at", -61).await;
        assert_eq!(taken(world).await[0].payload, secret.payload);
        world.store.mark_published(&[secret.id]).await.unwrap();
        let kept = world.db().sql("SELECT COUNT(*) FROM background_jobs WHERE payload IS NOT NULL");
        assert_eq!(kept.one::<i64>().await.unwrap(), 0);
    }
}
