//! What people did by hand is forgotten after a year by every worker, and not only by those of the binary.

use std::{sync::Arc, time::Duration};

use backshift::{Registry, testkit::wait};
use tokio::sync::Notify;

use crate::jobs::{embedded, ship};

#[tokio::test]
async fn a_worker_of_a_program_forgets_old_deeds() {
    let (_place, _, site) = embedded().await;
    for days in [400_i64, 300] {
        let deed =
            "INSERT INTO job_deeds (at, deed, who) VALUES (clock_timestamp() - $1, 'retry', 'ann@here')";
        site.database().sql(deed).bind(days * 86_400_000_000).run().await.unwrap();
    }
    let stop = Arc::new(Notify::new());
    let told = Arc::clone(&stop);
    let shift = site.worker(Registry::default().with(ship)).pool("orders", 1).unwrap();
    let running = tokio::spawn(async move { shift.run(async { told.notified().await }).await });
    let one_is_left = async || {
        let left = site.database().sql("SELECT COUNT(*) FROM job_deeds").one::<i64>().await;
        left.is_ok_and(|left| left == 1)
    };
    assert!(wait::until(Duration::from_secs(20), one_is_left).await, "the old one is still there");
    stop.notify_one();
    running.await.unwrap().unwrap();
}
