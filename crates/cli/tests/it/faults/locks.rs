//! Statements that time out, wait for locks or are cancelled, and somebody's long transaction.
//!
//! The server's limits are short of the product's own deadlines, so that its words reach the log: 55P03 for a lock,
//! 57014 for a statement.

use backshift_testkit::wait;

use super::{Load, nothing_left};
use crate::scene::{PATIENCE, Place, Session, Worker, stretched_ms};

const QUEUE: &str = "locks";

async fn under_way(place: &Place) -> (Session, Load, Worker) {
    place.migrate().await;
    let load = Load::accepted(place, QUEUE, 40, "sleep", stretched_ms(150)).await;
    let other = Session::open(&place.database.as_ref().unwrap().url()).await;
    let worker = place.worker(&format!("{QUEUE}:4")).await;
    load.wait_effects(place, 4, &worker).await;
    (other, load, worker)
}

async fn done(place: &Place, load: Load, worker: Worker) {
    load.settles(place, &worker).await;
    assert_eq!(worker.drained().await, Some(0));
    nothing_left(place, QUEUE).await;
}

/// As a careless `ALTER TABLE` does it.
async fn locked(place: Place) {
    let (other, load, worker) = under_way(&place).await;
    other.run("BEGIN; LOCK TABLE background_jobs IN ACCESS EXCLUSIVE MODE").await;
    let met = wait::until(PATIENCE, || async { worker.output().contains("55P03") });
    assert!(met.await, "no lock time-out\n{}", worker.output());
    other.run("COMMIT").await;
    done(&place, load, worker).await;
}

/// As `statement_timeout` does it, at any moment: again and again, until it has hit several statements.
async fn cancelled(place: Place) {
    let (other, load, worker) = under_way(&place).await;
    let hits = wait::until(PATIENCE, || async {
        other
            .run(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                 AND state <> 'idle' AND pid <> pg_backend_pid()",
            )
            .await;
        worker.output().matches("57014").count() >= 2 || load.effects(&place).await == 40
    });
    assert!(hits.await, "no statement was hit\n{}", worker.output());
    done(&place, load, worker).await;
}

/// A report that was forgotten: its snapshot stays, and it has locked rows.
async fn forgotten(place: Place) {
    let (other, load, worker) = under_way(&place).await;
    let foreign = place.flags.len() > 2;
    // The ledger of a foreign broker has no rows that wait: there the result of a running job must wait.
    let state = if foreign { "running" } else { "available" };
    let rows = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT id FROM background_jobs WHERE status = '{state}' \
         ORDER BY id DESC LIMIT 6 FOR UPDATE SKIP LOCKED"
    );
    let held = wait::until_some(PATIENCE, || async {
        other.run("ROLLBACK").await;
        // A row that changed since the snapshot refuses the statement: another snapshot then.
        other.tried(&rows).await.ok().map(|rows| rows.len()).filter(|held| *held > 0)
    });
    let held = held.await.unwrap_or_else(|| panic!("the work was over too soon\n{}", worker.output()));
    match foreign {
        true => {
            let met = wait::until(PATIENCE, || async { worker.output().contains("55P03") });
            assert!(met.await, "no lock time-out\n{}", worker.output());
        }
        // Rows that wait are passed over: the others go on.
        false => load.wait_effects(&place, 40 - held, &worker).await,
    }
    other.run("COMMIT").await;
    done(&place, load, worker).await;
}

/// Two tests of each: PostgreSQL as the broker, and as the ledger of RabbitMQ.
macro_rules! on_both {
    ($($name:ident: $fault:path;)+) => {
        mod as_the_broker {
            $(#[tokio::test]
            async fn $name() {
                let Some(place) = super::Place::postgres().await else { return };
                $fault(place).await;
            })+
        }
        mod as_the_ledger {
            $(#[tokio::test]
            async fn $name() {
                let Some(place) = super::Place::rabbitmq().await else { return };
                $fault(place).await;
            })+
        }
    };
}

on_both! {
    a_lock_on_the_table_burns_no_attempt: super::locked;
    cancelled_statements_burn_no_attempt: super::cancelled;
    a_long_transaction_burns_no_attempt: super::forgotten;
}
