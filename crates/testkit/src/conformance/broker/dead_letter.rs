//! Chapter *dead letter*: kept whole, with the reason, and out of the way.
//!
//! Where dead letters lie is the adapter's business; the harness reads them as a person would.

use backshift_core::{Bytes, DeadLetter, ErrorClass, ErrorReport, Reason};

use super::scene::{Scene, applied, job, lease_end, nothing, take};
use crate::{
    conformance::{
        case::{Failure, Outcome, Verdict, cases, ensure},
        harness::DeadJob,
    },
    wait,
};

cases! { Scene:
    b60_dead_letter_keeps_bytes_id_and_reason,
    b61_dead_letter_is_not_delivered_again,
    b62_dead_letter_of_malformed_bytes_keeps_them,
}

async fn b60_dead_letter_keeps_bytes_id_and_reason(scene: Scene) -> Verdict {
    let reasons = [Reason::Permanent, Reason::AttemptsExhausted, Reason::Malformed];
    let mut consumer = scene.consumer(1).await?;
    for (n, reason) in reasons.into_iter().enumerate() {
        let bytes = Bytes::from(format!("{{\"n\":9007199254740993,\"case\":{n}}}\u{0}"));
        let id = scene.publish(scene.envelope(bytes.clone())).await?;
        bury(&scene, take(&mut consumer).await?, reason).await?;
        let letter = found(&scene, |letter| letter.id == Some(id)).await?;
        ensure!(letter.payload == bytes, "the payload became {:?}", letter.payload);
        ensure!(letter.reason == reason.as_str(), "the reason became {:?}", letter.reason);
    }
    Ok(Outcome::Pass)
}

async fn b61_dead_letter_is_not_delivered_again(scene: Scene) -> Verdict {
    scene.publish(scene.envelope("x")).await?;
    let doomed = scene.connect().await?;
    let mut consumer = scene.consumer_of(&doomed, 1).await?;
    bury(&scene, take(&mut consumer).await?, Reason::Permanent).await?;
    scene.crash(doomed, consumer, Vec::new()).await?;
    let mut other = scene.consumer(1).await?;
    nothing(&mut other, scene.lease * 3).await?;
    let id = scene.publish(scene.envelope("next")).await?;
    ensure!(job(&take(&mut other).await?)?.id == id, "a dead letter stopped the queue");
    Ok(Outcome::Pass)
}

async fn b62_dead_letter_of_malformed_bytes_keeps_them(scene: Scene) -> Verdict {
    let raw = Bytes::from_static(b"\xff\xfe not JSON \0\xce");
    let put = scene.namespace.publish_malformed(&scene.queue, raw.clone()).await.map_err(Failure::new)?;
    if !put {
        return Ok(Outcome::NotTested("no foreign producer can put other bytes into this broker"));
    }
    let mut consumer = scene.consumer(1).await?;
    bury(&scene, take(&mut consumer).await?, Reason::Malformed).await?;
    let letter = found(&scene, |letter| letter.payload == raw).await?;
    ensure!(letter.reason == "malformed", "the reason became {:?}", letter.reason);
    nothing(&mut consumer, scene.lease).await?;
    Ok(Outcome::Pass)
}

async fn bury(scene: &Scene, delivery: backshift_core::Delivery, reason: Reason) -> Result<(), Failure> {
    let error = ErrorReport::new(ErrorClass::Error, format!("no use in {}", scene.queue));
    let letter = DeadLetter { reason, error, attempt: 1 };
    let until = lease_end(&delivery);
    applied(delivery.receipt.dead_letter(letter).await?, until)
}

async fn found(scene: &Scene, wanted: impl Fn(&DeadJob) -> bool) -> Result<DeadJob, Failure> {
    let wanted = &wanted;
    let look = || async move {
        let letters = scene.namespace.dead_letters(&scene.queue).await.unwrap_or_default();
        letters.into_iter().find(|letter| wanted(letter))
    };
    if let Some(letter) = wait::until_some(wait::PATIENCE, look).await {
        return Ok(letter);
    }
    let letters = scene.namespace.dead_letters(&scene.queue).await.map_err(Failure::new)?;
    Err(Failure::new(format!("not among the dead letters of {}: {letters:?}", scene.queue)))
}
