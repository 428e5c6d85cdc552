//! Chapter *publish*: what is accepted is whole, durable and answered one by one.
//!
//! B11 accepts two honest answers to a queue that nobody declared: kept or refused; only silence is wrong.

use std::collections::HashSet;

use backshift_core::{BrokerError, JobId};
use uuid::Uuid;

use super::scene::{Scene, ack, job, nothing, now, take, take_many};
use crate::{
    conformance::case::{Outcome, Verdict, cases, ensure},
    payloads,
    servers::unique_queue,
    wait,
};

cases! { Scene:
    b1_envelope_arrives_whole,
    b2_payload_bytes_are_kept,
    b4_answers_come_one_each_in_order,
    b5_empty_batch_is_answered_with_nothing,
    b6_ten_megabytes_arrive_whole_or_are_refused,
    b7_undeclared_queue_keeps_or_refuses,
    b8_declare_changes_nothing_that_exists,
    b9_confirmed_jobs_survive_their_publisher,
    b10_depth_counts_what_waits,
}

async fn b1_envelope_arrives_whole(scene: Scene) -> Verdict {
    let mut sent = scene.envelope(br#"{"a":1}"#.as_slice());
    sent.headers
        .insert("traceparent".into(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into());
    sent.headers.insert("note".into(), "Grüße, 日本語, \"quoted\"".into());
    sent.max_attempts = Some(7);
    sent.attempt = 3;
    sent.user_id = Some(Uuid::from_u128(0x1234));
    scene.publish(sent.clone()).await?;
    let delivery = take(&mut scene.consumer(1).await?).await?;
    let got = job(&delivery)?;
    ensure!(got.id == sent.id, "id {} became {}", sent.id, got.id);
    ensure!(got.kind == sent.kind && got.queue == sent.queue, "kind or queue changed: {got:?}");
    ensure!(got.attempt == 3 && got.max_attempts == Some(7), "attempt or its limit changed: {got:?}");
    for (name, value) in &sent.headers {
        ensure!(got.headers.get(name) == Some(value), "header {name} became {:?}", got.headers.get(name));
    }
    ensure!(got.user_id == sent.user_id, "user_id became {:?}", got.user_id);
    let made = (sent.created_at.as_millisecond(), got.created_at.as_millisecond());
    ensure!(
        made.0.abs_diff(made.1) <= 1000,
        "created_at moved from {} to {}",
        sent.created_at,
        got.created_at
    );
    ensure!(!delivery.anonymous, "a job with an id was delivered as anonymous");
    Ok(Outcome::Pass)
}

async fn b2_payload_bytes_are_kept(scene: Scene) -> Verdict {
    let mut consumer = scene.consumer(1).await?;
    for (name, bytes) in payloads::awkward() {
        scene.publish(scene.envelope(bytes.clone())).await?;
        let delivery = take(&mut consumer).await?;
        let got = &job(&delivery)?.payload;
        ensure!(*got == bytes, "payload «{name}» of {} bytes came back changed ({})", bytes.len(), got.len());
        ack(delivery).await?;
    }
    Ok(Outcome::Pass)
}

async fn b4_answers_come_one_each_in_order(scene: Scene) -> Verdict {
    let batch: Vec<_> = (0..200).map(|n| scene.envelope(n.to_string())).collect();
    let ids: Vec<JobId> = batch.iter().map(|envelope| envelope.id).collect();
    let answers = scene.broker.publish(batch).await;
    ensure!(answers.len() == ids.len(), "{} answers to {} envelopes", answers.len(), ids.len());
    for (answer, id) in answers.into_iter().zip(&ids) {
        let accepted = answer?.id();
        ensure!(accepted == *id, "the answer for {id} named {accepted}");
    }
    let mut consumer = scene.consumer(50).await?;
    let mut seen = HashSet::new();
    while seen.len() < ids.len() {
        let wanted = 50.min(ids.len() - seen.len());
        for delivery in take_many(&mut consumer, wanted).await? {
            let id = job(&delivery)?.id;
            ensure!(ids.contains(&id) && seen.insert(id), "{id} was not published, or came twice");
            ack(delivery).await?;
        }
    }
    Ok(Outcome::Pass)
}

async fn b5_empty_batch_is_answered_with_nothing(scene: Scene) -> Verdict {
    let answers = scene.broker.publish(Vec::new()).await;
    ensure!(answers.is_empty(), "{} answers to no envelope", answers.len());
    nothing(&mut scene.consumer(1).await?, scene.lease).await?;
    Ok(Outcome::Pass)
}

async fn b6_ten_megabytes_arrive_whole_or_are_refused(scene: Scene) -> Verdict {
    let large = payloads::ten_megabytes();
    let mut consumer = scene.consumer(1).await?;
    match scene.offer(scene.envelope(large.clone())).await {
        Ok(_) => {
            let delivery = take(&mut consumer).await?;
            ensure!(job(&delivery)?.payload == large, "10 MB came back changed");
            ack(delivery).await?;
        }
        Err(BrokerError::Rejected { problem, .. }) => {
            ensure!(problem.contains("bytes"), "the refusal names no size: {problem}");
        }
        Err(other) => ensure!(false, "10 MB were answered with {other:?}"),
    }
    let id = scene.publish(scene.envelope("small")).await?;
    let delivery = take(&mut consumer).await?;
    ensure!(job(&delivery)?.id == id, "the connection did not go on after 10 MB");
    Ok(Outcome::Pass)
}

async fn b7_undeclared_queue_keeps_or_refuses(scene: Scene) -> Verdict {
    let mut scene = scene;
    scene.queue = unique_queue("undeclared");
    let envelope = scene.envelope("x");
    let id = envelope.id;
    match scene.offer(envelope).await {
        Ok(_) => {
            let delivery = take(&mut scene.consumer(1).await?).await?;
            ensure!(job(&delivery)?.id == id, "another job came");
        }
        Err(BrokerError::Rejected { problem, .. }) => {
            ensure!(problem.contains(scene.queue.as_str()), "the refusal does not name the queue: {problem}");
        }
        Err(other) => ensure!(false, "a publish to a missing queue was answered with {other:?}"),
    }
    Ok(Outcome::Pass)
}

async fn b8_declare_changes_nothing_that_exists(scene: Scene) -> Verdict {
    let id = scene.publish(scene.envelope("kept")).await?;
    scene.broker.declare(&scene.queue).await?;
    scene.connect().await?.declare(&scene.queue).await?;
    let delivery = take(&mut scene.consumer(1).await?).await?;
    ensure!(job(&delivery)?.id == id, "another job came");
    Ok(Outcome::Pass)
}

async fn b9_confirmed_jobs_survive_their_publisher(scene: Scene) -> Verdict {
    let publisher = scene.connect().await?;
    let mut ids = HashSet::new();
    for n in 0..20 {
        let mut envelope = scene.envelope(n.to_string());
        envelope.created_at = now();
        for answer in publisher.publish(vec![envelope]).await {
            ids.insert(answer?.id());
        }
    }
    let idle = scene.consumer_of(&publisher, 1).await?;
    scene.crash(publisher, idle, Vec::new()).await?;
    let mut consumer = scene.consumer(20).await?;
    for delivery in take_many(&mut consumer, 20).await? {
        let id = job(&delivery)?.id;
        ensure!(ids.remove(&id), "{id} came twice or was never published");
        ack(delivery).await?;
    }
    Ok(Outcome::Pass)
}

async fn b10_depth_counts_what_waits(scene: Scene) -> Verdict {
    scene.publish_many(3).await?;
    let depth_is = |wanted| {
        let (broker, queue) = (&scene.broker, &scene.queue);
        wait::until(wait::PATIENCE, move || async move { broker.depth(queue).await.ok() == Some(wanted) })
    };
    ensure!(depth_is(3).await, "depth {:?} with 3 waiting jobs", scene.broker.depth(&scene.queue).await);
    let mut consumer = scene.consumer(3).await?;
    for delivery in take_many(&mut consumer, 3).await? {
        ack(delivery).await?;
    }
    ensure!(depth_is(0).await, "depth {:?} with no waiting job", scene.broker.depth(&scene.queue).await);
    Ok(Outcome::Pass)
}
