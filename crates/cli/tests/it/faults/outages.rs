//! PostgreSQL refuses, each time in another way, while work is under way: as the broker, and as RabbitMQ's ledger.
//!
//! Each fault lasts until the worker has met it (its SQLSTATE is in the log), so that no test passes unharmed.

use backshift_testkit::wait;

use super::{Load, nothing_left};
use crate::scene::{PATIENCE, Place, Session, Worker, stretched_ms};

const QUEUE: &str = "outage";

/// What an administrator does to the database, what undoes it, and what the worker's log must show.
struct Outage {
    begins: &'static str,
    ends: &'static str,
    /// Established connections are closed at both turns, so that the workers meet the new state.
    reconnect: bool,
    sqlstate: &'static str,
}

/// As after a failover to a standby, or in maintenance.
const READ_ONLY: Outage = Outage {
    begins: "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', \
             current_database()); END $$",
    ends: "SET default_transaction_read_only = off; DO $$ BEGIN \
           EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$",
    reconnect: true,
    sqlstate: "25006",
};

const OUT_OF_CONNECTIONS: Outage = Outage {
    begins: "DO $$ BEGIN EXECUTE format('ALTER ROLE %I CONNECTION LIMIT 0', current_database()); END $$",
    ends: "DO $$ BEGIN EXECUTE format('ALTER ROLE %I CONNECTION LIMIT -1', current_database()); END $$",
    reconnect: true,
    sqlstate: "53300",
};

/// Nobody's payload is to blame: nothing may go to the dead letters.
const RIGHTS_REVOKED: Outage = Outage {
    begins: "DO $$ BEGIN EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', current_database()); \
             END $$",
    ends: "DO $$ BEGIN EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA public TO %I', current_database()); END $$",
    reconnect: false,
    sqlstate: "42501",
};

/// Waits until the worker's log shows this code.
async fn met(worker: &Worker, sqlstate: &str) {
    let met = wait::until(PATIENCE, || async { worker.output().contains(sqlstate) });
    assert!(met.await, "the worker never met {sqlstate}\n{}", worker.output());
}

/// A worker that logs in as a role of its own without special rights; the role is named like the database.
async fn plain_worker(place: &Place, admin: &Session) -> Worker {
    admin
        .run(
            "DO $$ DECLARE me text := current_database(); BEGIN EXECUTE format('CREATE ROLE %I LOGIN', me); \
             EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA public TO %I', me); \
             EXECUTE format('GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO %I', me); END $$",
        )
        .await;
    let database = place.database.as_ref().unwrap();
    let (before, mut login) = (database.url(), url::Url::parse(&database.url()).unwrap());
    login.set_username(database.name()).unwrap();
    let flags = place.flags.iter().map(|flag| if *flag == before { login.as_str() } else { flag });
    place.worker_by(&format!("{QUEUE}:4"), &flags.collect::<Vec<_>>()).await
}

async fn passes(place: Place, outage: Outage) {
    place.migrate().await;
    let admin = Session::open(&place.database.as_ref().unwrap().url()).await;
    let load = Load::accepted(&place, QUEUE, 40, "sleep", stretched_ms(150)).await;
    let worker = plain_worker(&place, &admin).await;
    load.wait_effects(&place, 4, &worker).await;
    admin.run(outage.begins).await;
    if outage.reconnect {
        admin.end_the_others().await;
    }
    met(&worker, outage.sqlstate).await;
    admin.run(outage.ends).await;
    if outage.reconnect {
        admin.end_the_others().await;
    }
    load.settles(&place, &worker).await;
    assert_eq!(worker.drained().await, Some(0));
    nothing_left(&place, QUEUE).await;
    let role = place.database.as_ref().unwrap().name();
    admin.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

/// Two tests of each outage: PostgreSQL as the broker, and as the ledger of RabbitMQ.
macro_rules! on_both {
    ($($name:ident: $outage:expr;)+) => {
        mod as_the_broker {
            $(#[tokio::test]
            async fn $name() {
                let Some(place) = super::Place::postgres().await else { return };
                super::passes(place, $outage).await;
            })+
        }
        mod as_the_ledger {
            $(#[tokio::test]
            async fn $name() {
                let Some(place) = super::Place::rabbitmq().await else { return };
                super::passes(place, $outage).await;
            })+
        }
    };
}

on_both! {
    a_read_only_node_burns_no_attempt: super::READ_ONLY;
    a_server_out_of_connections_burns_no_attempt: super::OUT_OF_CONNECTIONS;
    rights_that_were_revoked_kill_no_job: super::RIGHTS_REVOKED;
}
