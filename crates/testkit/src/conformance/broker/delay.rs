//! Chapter *delay*: jobs for later come later, in the order of their times, and survive their publisher.
//!
//! A delay may end late, never early; a tenth is allowed for clocks that count coarsely.

use std::time::Duration;

use backshift_core::{Capability, Envelope, Timestamp};

use super::scene::{Scene, ack, job, nothing, now, take, take_many};
use crate::conformance::case::{Outcome, Verdict, cases, ensure};

cases! { Scene:
    b40_job_for_later_comes_later,
    b41_short_delay_passes_a_long_one,
    b42_job_for_later_survives_its_publisher,
    b43_time_in_the_past_means_now,
}

async fn b40_job_for_later_comes_later(scene: Scene) -> Verdict {
    let delay = Duration::from_secs(2);
    let envelope = later(&scene, delay)?;
    if !scene.claims(Capability::Delay) {
        return scene.refused(Capability::Delay, envelope).await;
    }
    let mut consumer = scene.consumer(2).await?;
    let due = envelope.run_at;
    let id = scene.publish(envelope).await?;
    let delivery = take(&mut consumer).await?;
    // A broker's timers may be a little early, a busy machine is only ever late.
    let came = now().checked_add(delay / 10)?;
    ensure!(due.is_some_and(|due| came >= due), "due at {due:?}, it came at {}", now());
    ensure!(job(&delivery)?.id == id, "another job came");
    ack(delivery).await?;
    nothing(&mut consumer, scene.lease).await?;
    Ok(Outcome::Pass)
}

async fn b41_short_delay_passes_a_long_one(scene: Scene) -> Verdict {
    let long = later(&scene, Duration::from_secs(3600))?;
    if !scene.claims(Capability::Delay) {
        return scene.refused(Capability::Delay, long).await;
    }
    scene.publish(long).await?;
    let short = scene.publish(later(&scene, Duration::from_secs(1))?).await?;
    let delivery = take(&mut scene.consumer(1).await?).await?;
    ensure!(job(&delivery)?.id == short, "the job that is due in an hour came first");
    Ok(Outcome::Pass)
}

async fn b42_job_for_later_survives_its_publisher(scene: Scene) -> Verdict {
    let envelope = later(&scene, Duration::from_secs(1))?;
    if !scene.claims(Capability::Delay) {
        return scene.refused(Capability::Delay, envelope).await;
    }
    let id = envelope.id;
    let publisher = scene.connect().await?;
    for answer in publisher.publish(vec![envelope]).await {
        answer?;
    }
    let idle = scene.consumer_of(&publisher, 1).await?;
    scene.crash(publisher, idle, Vec::new()).await?;
    let delivery = take(&mut scene.consumer(1).await?).await?;
    ensure!(job(&delivery)?.id == id, "another job came");
    Ok(Outcome::Pass)
}

async fn b43_time_in_the_past_means_now(scene: Scene) -> Verdict {
    let mut envelope = scene.envelope("past");
    envelope.run_at = Some(Timestamp::from_second(0)?);
    if !scene.claims(Capability::Delay) {
        return scene.refused(Capability::Delay, later(&scene, Duration::from_secs(60))?).await;
    }
    let past = scene.publish(envelope).await?;
    let present = scene.publish(scene.envelope("present")).await?;
    let mut consumer = scene.consumer(2).await?;
    let mut ids = Vec::new();
    for delivery in take_many(&mut consumer, 2).await? {
        ids.push(job(&delivery)?.id);
    }
    ensure!(ids.contains(&past) && ids.contains(&present), "other jobs came: {ids:?}");
    Ok(Outcome::Pass)
}

fn later(scene: &Scene, delay: Duration) -> Result<Envelope, jiff::Error> {
    let mut envelope = scene.envelope("later");
    envelope.run_at = Some(now().checked_add(delay)?);
    Ok(envelope)
}
