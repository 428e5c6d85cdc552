//! What the plans of our statements read, from the first job of a fresh database on: the plan that is made for a handful of rows is
//! kept, and must be right for a million.

use std::time::Duration;

use backshift_core::{
    Envelope, Reason,
    store::{Beat, Ledger, Maintenance, Start},
};

use crate::{
    sweeping::{alone, connected},
    world::{World, completed, dead, failed, holder, job, snoozed},
};

/// Works the queue off in claims of so many jobs, with every sort of end and a heartbeat for each third job.
async fn drained(world: &World, at_once: u32) {
    let mut turn = 0_usize;
    loop {
        let claimed = world.claim_many("w", at_once).await;
        if claimed.is_empty() {
            break;
        }
        let beats = claimed.iter().step_by(3).map(|(_, start)| Beat { lease: start.lease, progress: None });
        world.store.beat(&holder("w"), beats.collect()).await.unwrap();
        let mut ends = Vec::new();
        for (envelope, start) in claimed {
            turn += 1;
            ends.push(end(&envelope, &start, turn));
        }
        world.store.finish(ends).await.unwrap();
        world.store.rescue().await.unwrap();
        world.store.promote(100).await.unwrap();
    }
}

fn end(envelope: &Envelope, start: &Start, turn: usize) -> backshift_core::store::Finish {
    let settlement = match turn % 20 {
        0 => dead(Reason::Permanent),
        1 if start.attempt == 1 => failed(envelope, Duration::ZERO),
        2 => snoozed(envelope, Duration::from_secs(3600)),
        _ => completed(),
    };
    backshift_core::store::Finish { lease: start.lease, settlement, durable: turn.is_multiple_of(7) }
}

#[tokio::test]
async fn a_fresh_database_is_worked_off_without_reading_its_ledger_from_end_to_end() {
    let Some(world) = World::postgres().await else { return };
    let client = connected(&world).await;
    for table in ["background_jobs", "job_line", "job_claims", "job_attempts"] {
        let unknown = format!("ALTER TABLE {table} SET (autovacuum_enabled = false)");
        client.batch_execute(&unknown).await.unwrap();
    }
    // One by one, so that every plan is made and kept for a table with next to nothing.
    for _ in 0..8 {
        world.enqueue(job("ready")).await;
        drained(&world, 1).await;
    }
    for _ in 0..8 {
        world.enqueue_all((0..500).map(|_| job("ready")).collect()).await;
    }
    drained(&world, 250).await;
    world.db().close().await;
    alone(&client).await;
    // Making an index of the empty table was a scan that read nothing.
    let read = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'background_jobs'";
    assert_eq!(client.query_one(read, &[]).await.unwrap().get::<_, i64>(0), 0);
}
