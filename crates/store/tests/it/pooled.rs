//! The whole life of jobs through a transaction pooler: every statement works, only leases tell who is dead.

use std::time::Duration;

use backshift_core::{
    EffectState, Settled, State, Timestamp, WorkerName,
    store::{Beat, Effects, Ledger, Limits, Maintenance, Outbox, Pulse, Queues, WorkerRecord},
};

use crate::world::{World, completed, failed, holder, job};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_lives_its_life_behind_a_transaction_pooler() {
    let Some(world) = World::pooled().await else { return };
    assert!(!world.db().access().await.unwrap().direct);
    let worker = WorkerRecord::new(WorkerName::new("w").unwrap(), "ready:1", Timestamp::now());
    let sign = world.store.announce(&worker).await.unwrap();
    assert!(sign.stands());
    world.enqueue_all((0..50).map(|_| job("ready")).collect()).await;
    let claims = (0..5).map(|n| world.claim_many(if n == 0 { "w" } else { "x" }, 10));
    let claimed = futures::future::join_all(claims).await.concat();
    let (envelope, start) = &claimed[0];
    let beats = vec![Beat { lease: start.lease, progress: None }];
    assert!(matches!(world.store.beat(&holder("w"), beats).await.unwrap()[0], Pulse::Until(_)));
    assert_eq!(world.store.intend(&start.lease, "mail").await.unwrap().before, EffectState::None);
    assert!(world.store.occupy("k", 1, &start.lease).await.unwrap());
    drop(sign);
    assert_eq!(world.store.rescue().await.unwrap().returned, 0, "a lost sign means nothing here");
    assert_eq!(world.finish(start.lease, failed(envelope, Duration::ZERO)).await, Settled::Applied);
    assert_eq!(world.finish(start.lease, completed()).await, Settled::Stale);
    world.end_lease(claimed[1].0.id).await;
    assert_eq!(world.store.rescue().await.unwrap().returned, 1);
    world.store.accept("rabbitmq", vec![job("mail")]).await.unwrap();
    assert_eq!(world.state(envelope.id).await, State::Available);
    let counts = world.store.counts().await.unwrap();
    assert_eq!(counts.iter().map(|c| c.by_state.iter().map(|(_, n)| n).sum::<u64>()).sum::<u64>(), 51);
}
