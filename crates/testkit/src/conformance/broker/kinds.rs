//! Chapter *kinds*: a worker is offered only what it knows, where the broker can filter.

use backshift_core::{Capability, ConsumeOptions, Consumer, Envelope, Kind, WorkerName, broker::Occupied};

use super::scene::{Scene, ack, job, kind, nothing, take_many};
use crate::{
    conformance::case::{Failure, Outcome, Verdict, cases, ensure},
    servers::unique_name,
    wait,
};

cases! { Scene:
    b63_consumer_gets_only_its_kinds,
}

async fn knowing(scene: &Scene, kinds: &[Kind]) -> Result<Box<dyn Consumer>, Failure> {
    let worker = WorkerName::new(unique_name("worker"))?;
    let kinds = Some(std::sync::Arc::new(kinds.iter().cloned().collect()));
    let occupied = Occupied::default();
    let options = ConsumeOptions { slots: 4, kinds, lease: scene.lease, worker, occupied };
    Ok(scene.broker.consume(&scene.queue, options).await?)
}

async fn b63_consumer_gets_only_its_kinds(scene: Scene) -> Verdict {
    let other = Kind::new("conformance.other")?;
    for n in 0..12 {
        let kind = if n % 2 == 0 { other.clone() } else { kind() };
        scene.publish(Envelope { kind, ..scene.envelope(n.to_string()) }).await?;
    }
    let mut first = knowing(&scene, &[kind()]).await?;
    if !scene.claims(Capability::Ledger) {
        let all = take_many(&mut first, 4).await?;
        ensure!(all.iter().any(|delivery| job(delivery).is_ok_and(|job| job.kind == other)), "it filtered");
        return Ok(Outcome::Unsupported);
    }
    for _ in 0..6 {
        let delivery = take_many(&mut first, 1).await?.pop().ok_or_else(|| Failure::new("nothing came"))?;
        ensure!(job(&delivery)?.kind == kind(), "a job of another kind came: {delivery:?}");
        ack(delivery).await?;
    }
    nothing(&mut first, scene.lease).await?;
    let rests =
        wait::until(wait::PATIENCE, || async { scene.broker.depth(&scene.queue).await.ok() == Some(0) });
    ensure!(rests.await, "what nobody knows still stands in the line");
    let mut second = knowing(&scene, std::slice::from_ref(&other)).await?;
    for _ in 0..6 {
        let delivery = take_many(&mut second, 1).await?.pop().ok_or_else(|| Failure::new("nothing came"))?;
        let starts = delivery.start.as_ref().map(|start| (start.attempt, start.crashes));
        ensure!(job(&delivery)?.kind == other && starts == Some((1, 0)), "it came as {delivery:?}");
        ack(delivery).await?;
    }
    Ok(Outcome::Pass)
}
