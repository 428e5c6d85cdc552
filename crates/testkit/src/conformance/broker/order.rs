//! Chapter *order*: priority, and no job that waits for ever behind others.
//!
//! The port promises no order between jobs of equal priority.

use backshift_core::Capability;

use super::scene::{Scene, ack, job, take};
use crate::conformance::case::{Outcome, Verdict, cases, ensure};

cases! { Scene:
    b50_higher_priority_runs_first,
    b51_retried_jobs_do_not_starve_the_others,
}

async fn b50_higher_priority_runs_first(scene: Scene) -> Verdict {
    let prioritised = |priority: i16| {
        let mut envelope = scene.envelope(priority.to_string());
        envelope.priority = priority;
        envelope
    };
    if !scene.claims(Capability::Priority) {
        return scene.refused(Capability::Priority, prioritised(5)).await;
    }
    for priority in [0, -100, 7, 100, 3] {
        scene.publish(prioritised(priority)).await?;
    }
    let mut consumer = scene.consumer(1).await?;
    let mut order = Vec::new();
    for _ in 0..5 {
        let delivery = take(&mut consumer).await?;
        ensure!(
            job(&delivery)?.payload == job(&delivery)?.priority.to_string(),
            "the priority of {:?} changed",
            job(&delivery)?
        );
        order.push(job(&delivery)?.priority);
        ack(delivery).await?;
    }
    ensure!(order == [100, 7, 3, 0, -100], "the order was {order:?}");
    Ok(Outcome::Pass)
}

async fn b51_retried_jobs_do_not_starve_the_others(scene: Scene) -> Verdict {
    let failing = scene.publish(scene.envelope("fails")).await?;
    let healthy = scene.publish(scene.envelope("works")).await?;
    let mut consumer = scene.consumer(1).await?;
    for _ in 0..20 {
        let delivery = take(&mut consumer).await?;
        let envelope = job(&delivery)?.clone();
        if envelope.id == healthy {
            return Ok(Outcome::Pass);
        }
        ensure!(envelope.id == failing, "another job came: {envelope:?}");
        let again = super::scene::retry(&envelope, std::time::Duration::from_millis(200));
        delivery.receipt.retry(again).await?;
    }
    ensure!(false, "a job that is retried every 200 ms kept the other one waiting for 20 rounds");
    Ok(Outcome::Pass)
}
