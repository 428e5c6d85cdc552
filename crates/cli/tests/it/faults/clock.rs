//! The store's clock is set by five minutes while jobs run.
//!
//! A server's clock cannot be set in a test; what a step does to the store can: every time that it has written is
//! suddenly five minutes older, or lies five minutes ahead. (The clock of the worker's machine decides about cron
//! only: `a_clock_that_is_set_back_repeats_no_tick` of the runtime.)

use backshift_testkit::wait;

use super::{Load, nothing_left};
use crate::scene::{PATIENCE, Place, Session};

const QUEUE: &str = "clock";

/// Moves written times by minutes; a step of the clock forwards moves them back.
async fn written_times_move(place: &Place, columns: &[&str], minutes: i64) {
    let set = |by: &str| {
        let moved: Vec<String> = columns.iter().map(|column| format!("{column} = {column} + {by}")).collect();
        format!("UPDATE background_jobs SET {}", moved.join(", "))
    };
    match &place.database {
        Some(database) => {
            let session = Session::open(&database.url()).await;
            session.run(&set(&format!("interval '{minutes} minutes'"))).await;
            // A claim that no heartbeat has written yet says it itself.
            let claims =
                format!("UPDATE job_claims SET lease_until = lease_until + interval '{minutes} minutes'");
            session.run(&claims).await;
        }
        None => {
            let file = rusqlite::Connection::open(place.file()).unwrap();
            file.busy_timeout(PATIENCE).unwrap();
            file.execute_batch(&set(&(minutes * 60_000_000).to_string())).unwrap();
        }
    }
}

/// Forwards: leases seem to be over, so jobs start a second time beside the first, which is refused then.
async fn forwards(place: Place) {
    place.migrate().await;
    let load = Load::accepted(&place, QUEUE, 8, "sleep", 1500).await;
    let worker = place.worker(&format!("{QUEUE}:4")).await;
    let other = place.worker(&format!("{QUEUE}:4")).await;
    let begun = wait::until(PATIENCE, || async { load.starts(&place).await >= 8 });
    assert!(begun.await, "{}", worker.output());
    written_times_move(&place, &["lease_until", "run_at"], -5).await;
    load.settles(&place, &worker).await;
    assert_eq!((worker.drained().await, other.drained().await), (Some(0), Some(0)));
    nothing_left(&place, QUEUE).await;
}

/// Backwards: leases seem to last for long, and a killed worker's jobs come back all the same.
async fn backwards(place: Place) {
    place.migrate().await;
    let load = Load::accepted(&place, QUEUE, 8, "sleep", 1500).await;
    let doomed = place.worker(&format!("{QUEUE}:4")).await;
    let begun = wait::until(PATIENCE, || async { load.starts(&place).await >= 4 });
    assert!(begun.await, "{}", doomed.output());
    doomed.process.kill().await;
    // Running rows only: a job that waits for its time would rightly wait for five minutes more.
    written_times_move(&place, &["lease_until"], 5).await;
    let heir = place.worker(&format!("{QUEUE}:8")).await;
    load.settles(&place, &heir).await;
    assert_eq!(heir.drained().await, Some(0));
    nothing_left(&place, QUEUE).await;
}

/// A test of each direction on each broker.
macro_rules! on_each {
    ($($name:ident: $fault:path;)+) => {
        mod on_the_embedded_broker {
            $(#[tokio::test]
            async fn $name() {
                $fault(super::Place::embedded()).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                let Some(place) = super::Place::postgres().await else { return };
                $fault(place).await;
            })+
        }
        mod on_rabbitmq {
            $(#[tokio::test]
            async fn $name() {
                let Some(place) = super::Place::rabbitmq().await else { return };
                $fault(place).await;
            })+
        }
    };
}

on_each! {
    a_clock_that_is_set_forwards_doubles_no_effect: super::forwards;
    a_clock_that_is_set_back_holds_up_no_killed_worker_s_job: super::backwards;
}
