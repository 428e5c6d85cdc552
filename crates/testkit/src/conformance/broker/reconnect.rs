//! Chapter *reconnect*: a server that went away and came back finds the same broker working again.
//!
//! The consumer's error is the signal to make a new one; the broker itself must mend its connection.

use std::time::Duration;

use super::scene::{Scene, ack, job, take};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    wait::{self, PATIENCE},
};

cases! { Scene:
    b80_ping_answers_while_the_server_is_there,
    b81_broker_works_again_after_a_cut,
    b82_unsettled_delivery_comes_back_after_a_cut,
}

async fn b80_ping_answers_while_the_server_is_there(scene: Scene) -> Verdict {
    let ping = wait::within(Duration::from_secs(5), scene.broker.ping()).await;
    ping.ok_or_else(|| Failure::new("ping took longer than 5 s"))??;
    Ok(Outcome::Pass)
}

async fn b81_broker_works_again_after_a_cut(scene: Scene) -> Verdict {
    scene.publish(scene.envelope("before")).await?;
    if !scene.namespace.cut_connections().await.map_err(Failure::new)? {
        return Ok(Outcome::NotTested("this harness cannot cut connections"));
    }
    let works = || async { scene.offer(scene.envelope("after")).await.is_ok() };
    ensure!(wait::until(PATIENCE, works).await, "no publish succeeded within {PATIENCE:?} after the cut");
    let mut payloads = Vec::new();
    let mut consumer = scene.consumer(1).await?;
    while !payloads.contains(&"before".into()) || !payloads.contains(&"after".into()) {
        let delivery = take(&mut consumer).await?;
        payloads.push(job(&delivery)?.payload.clone());
        ack(delivery).await?;
    }
    Ok(Outcome::Pass)
}

async fn b82_unsettled_delivery_comes_back_after_a_cut(scene: Scene) -> Verdict {
    let id = scene.publish(scene.envelope("x")).await?;
    let mut consumer = scene.consumer(1).await?;
    let held = take(&mut consumer).await?;
    if !scene.namespace.cut_connections().await.map_err(Failure::new)? {
        return Ok(Outcome::NotTested("this harness cannot cut connections"));
    }
    let again = wait::until_some(PATIENCE, || async {
        let mut fresh = scene.consumer(1).await.ok()?;
        take(&mut fresh).await.ok()
    });
    let again = again.await.ok_or_else(|| Failure::new("the job did not come back after the cut"))?;
    ensure!(job(&again)?.id == id, "another job came");
    drop(held);
    Ok(Outcome::Pass)
}
