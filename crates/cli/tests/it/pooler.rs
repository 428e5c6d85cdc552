//! Through PgBouncer in transaction mode: no session survives, and everything works all the same.

use backshift_testkit::{servers, wait};

use crate::scene::{PATIENCE, Place, SystemC, probe, stretched};

#[tokio::test]
async fn a_sign_up_through_a_transaction_pooler() {
    let Some(mut system) = SystemC::new().await else { return };
    let Some(door) = servers::require("PGBOUNCER_URL") else { return };
    let pooled = system.database.url_at(&door);
    system.set(&[("DATABASE_URL", &pooled)]);
    let (worker, api) = (system.worker().await, system.api().await);
    assert_eq!(api.register("pool@example.com", "correct horse").await.code(), 0);
    assert_eq!(api.send_otp("pool@example.com", "correct horse").await.code(), 0);
    let code = system.smtp.wait_for("pool@example.com", 1).await[0].code();
    assert_eq!(api.verify("pool@example.com", &code).await.code(), 0);
    for n in 0..30 {
        system.vhost.publish_mail(&format!("p{n}@example.com"), "pooled").await;
    }
    for n in 0..30 {
        system.smtp.wait_for(&format!("p{n}@example.com"), 1).await;
    }
    assert_eq!(worker.drained().await, Some(0));
    assert_eq!(system.smtp.mails().len(), 31, "each once");
}

#[tokio::test]
async fn a_killed_worker_s_jobs_come_back_when_the_lease_ends() {
    let Some(place) = Place::postgres().await else { return };
    let Some(door) = servers::require("PGBOUNCER_URL") else { return };
    place.migrate().await;
    let place = place.with(&[("BACKSHIFT_WORKER_LEASE", &stretched(2_000))]).through(&door);
    let ids = place.enqueue(&[probe("pooled", "sleep", 1_500, 0)]).await;
    let doomed = place.worker("probes:1").await;
    let begun = wait::until(PATIENCE, || async { place.count("attempts", "pooled").await == 1 });
    assert!(begun.await, "{}", doomed.output());
    doomed.process.kill().await;
    let _survivor = place.worker("probes:1").await;
    let job = place.wait_state(&ids[0], "completed").await;
    assert_eq!((job["attempt"].as_u64(), place.count("effects", "pooled").await), (Some(1), 1), "{job:#}");
}
