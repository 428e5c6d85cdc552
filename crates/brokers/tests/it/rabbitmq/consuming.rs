//! Consuming: acks, going quiet, redelivery, and messages that are no jobs.

use std::time::Duration;

use backshift_core::{Broker, DeadLetter, ErrorClass, ErrorReport, Reason, wire::SENSITIVE};
use backshift_testkit::wait;
use lapin::{BasicProperties, options::BasicPublishOptions};

use super::{
    proxy::Proxy,
    site::{PATIENCE, Site, consume, done, payload, publish, take, take_one},
};

pub(super) async fn acks_out_of_order_leave_exactly_the_unacked(site: Site) {
    let (broker, queue) = site.with_queue().await;
    publish(&broker, &queue, &["1", "2", "3", "4", "5", "6", "7"]).await;
    let proxy = Proxy::start(&site.url).await;
    let through = proxy.broker(&site);
    let mut consumer = consume(&through, &queue, 7).await;
    let mut kept = Vec::new();
    let mut acked = Vec::new();
    for delivery in take(&mut consumer, 7).await {
        match payload(&delivery).as_str() {
            "3" | "5" => kept.push(delivery),
            _ => acked.push(delivery),
        }
    }
    acked.reverse();
    for settled in futures::future::join_all(acked.into_iter().map(|d| d.receipt.ack(done()))).await {
        settled.unwrap();
    }
    let unacked = wait::until(PATIENCE, || async {
        let (_, text) = site.manage("GET", &format!("/api/queues/%2F/{queue}")).await;
        text.contains("\"messages_unacknowledged\":2")
    });
    assert!(unacked.await, "two stay unacked");
    proxy.cut();
    assert!(wait::within(PATIENCE, consumer.next(1)).await.unwrap().is_err());
    let late = kept.pop().unwrap().receipt.ack(done()).await;
    assert!(late.is_err(), "an ack on a dead channel must not pass for one");

    let mut again = consume(&broker, &queue, 7).await;
    let mut back = Vec::new();
    for delivery in take(&mut again, 2).await {
        assert!(delivery.redelivered);
        back.push(payload(&delivery));
        delivery.receipt.ack(done()).await.unwrap();
    }
    back.sort();
    assert_eq!(back, ["3", "5"]);
    drop(again);
    assert_eq!(broker.depth(&queue).await.unwrap(), 0);
}

pub(super) async fn what_was_prefetched_goes_back_when_it_gets_quiet(site: Site) {
    let (broker, queue) = site.with_queue().await;
    publish(&broker, &queue, &["a", "b", "c", "d", "e", "f"]).await;
    let mut first = consume(&broker, &queue, 4).await;
    let held = take_one(&mut first).await;
    first.quiet().await;
    assert!(first.next(1).await.is_err(), "a quiet consumer takes nothing");
    let mut second = consume(&broker, &queue, 10).await;
    let others = take(&mut second, 5).await;
    assert!(others.iter().all(|other| payload(other) != payload(&held)));
    held.receipt.ack(done()).await.unwrap();
    for other in others {
        assert_eq!(other.job.as_ref().unwrap().attempt, 1, "going back counts as no attempt");
        other.receipt.ack(done()).await.unwrap();
    }
    drop((first, second));
    assert_eq!(broker.depth(&queue).await.unwrap(), 0);
}

pub(super) async fn a_consumer_keeps_no_more_than_its_slots_and_nothing_when_it_is_dropped(site: Site) {
    let (broker, queue) = site.with_queue().await;
    publish(&broker, &queue, &["a", "b", "c", "d", "e", "f"]).await;
    let mut first = consume(&broker, &queue, 3).await;
    let held = take_one(&mut first).await;
    let mut second = consume(&broker, &queue, 6).await;
    let rest = take(&mut second, 3).await;
    drop(first);
    let others = take(&mut second, 2).await;
    for delivery in rest.into_iter().chain(others).chain([held]) {
        delivery.receipt.ack(done()).await.unwrap();
    }
    drop(second);
    assert_eq!(broker.depth(&queue).await.unwrap(), 0);
}

pub(super) async fn a_dropped_receipt_means_redelivery(site: Site) {
    let (broker, queue) = site.with_queue().await;
    publish(&broker, &queue, &["x"]).await;
    let mut consumer = consume(&broker, &queue, 2).await;
    // More often than any default delivery limit of the server.
    for round in 0..30 {
        let delivery = take_one(&mut consumer).await;
        assert_eq!(delivery.redelivered, round > 0);
        drop(delivery);
    }
    take_one(&mut consumer).await.receipt.ack(done()).await.unwrap();
}

pub(super) async fn a_foreign_id_is_the_same_on_every_delivery(site: Site) {
    let (broker, queue) = site.with_queue().await;
    let (_connection, channel) = site.raw().await;
    let properties =
        BasicProperties::default().with_message_id("order/17".into()).with_type("test.echo".into());
    let options = BasicPublishOptions::default();
    channel.basic_publish("".into(), queue.as_str().into(), options, b"{}", properties).await.unwrap();
    let mut consumer = consume(&broker, &queue, 1).await;
    let first = take_one(&mut consumer).await;
    let id = first.job.as_ref().unwrap().id;
    assert!(!first.anonymous);
    drop(first);
    let second = take_one(&mut consumer).await;
    assert_eq!((second.job.as_ref().unwrap().id, second.redelivered), (id, true));
    second.receipt.ack(done()).await.unwrap();
}

fn letter(reason: Reason, text: &str) -> DeadLetter {
    DeadLetter { reason, error: ErrorReport::new(ErrorClass::Error, text), attempt: 1 }
}

pub(super) async fn a_message_without_a_kind_is_malformed_and_goes_to_the_dlq_whole(site: Site) {
    let (broker, queue) = site.with_queue().await;
    let (_connection, channel) = site.raw().await;
    let raw = b"\x00\xff not json \xc3\x28";
    let properties =
        BasicProperties::default().with_content_encoding("odd".into()).with_expiration("60000".into());
    let options = BasicPublishOptions::default();
    channel.basic_publish("".into(), queue.as_str().into(), options, raw, properties).await.unwrap();
    let mut consumer = consume(&broker, &queue, 1).await;
    let delivery = take_one(&mut consumer).await;
    assert!(delivery.anonymous);
    let malformed = delivery.job.unwrap_err();
    assert_eq!((&malformed.raw[..], malformed.source.as_str()), (&raw[..], queue.as_str()));
    assert!(malformed.problem.contains("type"), "{malformed}");
    delivery.receipt.dead_letter(letter(Reason::Malformed, &malformed.problem)).await.unwrap();
    let dead = site.get(&format!("{queue}.dlq")).await;
    assert_eq!(dead.data, raw);
    let headers = dead.properties.headers().clone().unwrap();
    let text = |name: &str| headers.inner()[name].as_long_string().unwrap().to_string();
    assert_eq!((text("backshift-reason"), text("backshift-source")), ("malformed".into(), queue.to_string()));
    assert_eq!(text("backshift-error"), malformed.problem);
    assert_eq!(headers.inner()["backshift-attempt"].as_long_int(), Some(1));
    assert!(text("backshift-first-seen").parse::<backshift_core::Timestamp>().is_ok());
    assert_eq!(dead.properties.content_encoding().as_ref().unwrap().as_str(), "odd");
    assert_eq!(*dead.properties.delivery_mode(), Some(2));
    assert!(dead.properties.expiration().is_none(), "what is not sensitive stays in the DLQ");
    assert!(!headers.inner().contains_key(SENSITIVE));
    assert_eq!(broker.depth(&queue).await.unwrap(), 0);
}

pub(super) async fn too_many_bytes_go_to_the_dlq_whole(site: Site) {
    let (broker, queue) = site.with_queue().await;
    let (_connection, channel) = site.raw().await;
    channel.confirm_select(Default::default()).await.unwrap();
    let raw = vec![b'x'; 16 * 1024 * 1024 + 1];
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default().with_type("test.echo".into());
    let sent =
        channel.basic_publish("".into(), queue.as_str().into(), options, &raw, properties).await.unwrap();
    if sent.await.is_err() {
        return; // RabbitMQ 4 takes no message of that size itself.
    }
    let mut consumer = consume(&broker, &queue, 1).await;
    let delivery = wait::within(Duration::from_secs(60), take_one(&mut consumer)).await.unwrap();
    let malformed = delivery.job.unwrap_err();
    assert_eq!(malformed.raw.len(), raw.len());
    delivery.receipt.dead_letter(letter(malformed.reason, &malformed.problem)).await.unwrap();
    let dead = site.get(&format!("{queue}.dlq")).await;
    assert!(dead.data == raw);
    let reason = dead.properties.headers().as_ref().unwrap().inner()["backshift-reason"].clone();
    assert_eq!(reason.as_long_string().unwrap().to_string(), "too-large");
}
