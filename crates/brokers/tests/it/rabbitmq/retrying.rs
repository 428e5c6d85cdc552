//! Retries and delays: never early, nothing lost on the way, secrets not outlived.

use std::time::{Duration, Instant};

use backshift_brokers::rabbitmq::{Options, QueueType, RabbitMqBroker};
use backshift_core::{
    Broker, DeadLetter, Delivery, ErrorClass, ErrorReport, QueueName, Reason, Retry, Timestamp,
    wire::{EXPIRES_AT, SENSITIVE},
};
use backshift_testkit::{pace, servers};

use super::site::{Site, consume, done, envelope, payload, publish, take_one};

fn again(delivery: &Delivery, delay: Duration) -> Retry {
    let mut next = delivery.job.as_ref().unwrap().clone();
    next.attempt += 1;
    Retry { next, delay, counted: true, error: Some(ErrorReport::new(ErrorClass::Error, "later")) }
}

pub(super) async fn a_retry_is_never_early(site: Site) {
    let (broker, queue) = site.with_queue().await;
    retry_round(&broker, &queue).await;
}

pub(super) async fn classic_queues_do_the_same(site: Site) {
    let options = Options { queue_type: QueueType::Classic, ..Options::default() };
    let (broker, queue) = (site.broker_with(options, vec![]), servers::unique_queue("classic"));
    broker.declare(&queue).await.unwrap();
    retry_round(&broker, &queue).await;
}

/// Three delays at once: within a step, a chain of two, and one that another must not hold up.
async fn retry_round(broker: &RabbitMqBroker, queue: &QueueName) {
    let delays = [("a", 300), ("b", 1600), ("c", 1000)];
    publish(broker, queue, &["a", "b", "c"]).await;
    let mut consumer = consume(broker, queue, 4).await;
    let mut due = std::collections::HashMap::new();
    for _ in delays {
        let delivery = take_one(&mut consumer).await;
        let name = payload(&delivery);
        let delay = Duration::from_millis(delays.iter().find(|(n, _)| *n == name).unwrap().1);
        due.insert(name, Instant::now() + delay);
        let retry = again(&delivery, delay);
        delivery.receipt.retry(retry).await.unwrap();
    }
    for _ in delays {
        let delivery = take_one(&mut consumer).await;
        let (job, due) = (delivery.job.as_ref().unwrap(), due.remove(&payload(&delivery)).unwrap());
        assert!(Instant::now() >= due, "{} came early", payload(&delivery));
        assert!(
            due.elapsed() < pace::stretched(Duration::from_secs(6)),
            "{} came {:?} late",
            payload(&delivery),
            due.elapsed()
        );
        assert_eq!((job.attempt, job.payload.len()), (2, 1));
        delivery.receipt.ack(done()).await.unwrap();
    }
}

pub(super) async fn a_retry_at_once_keeps_the_message(site: Site) {
    let (broker, queue) = site.with_queue().await;
    let mut sent = envelope(&queue, "{\"n\":1}");
    sent.headers.insert("tenant".into(), "blue".into());
    broker.publish(vec![sent.clone()]).await.remove(0).unwrap();
    let mut consumer = consume(&broker, &queue, 1).await;
    let delivery = take_one(&mut consumer).await;
    let mut retry = again(&delivery, Duration::ZERO);
    retry.next.headers.insert("seen".into(), "once".into());
    let expected = retry.next.clone();
    delivery.receipt.retry(retry).await.unwrap();
    let back = take_one(&mut consumer).await;
    assert_eq!(*back.job.as_ref().unwrap(), expected);
    assert!(!back.redelivered, "a retry is a new message");
    back.receipt.ack(done()).await.unwrap();
}

pub(super) async fn a_planned_job_waits_for_its_time(site: Site) {
    let (broker, queue) = site.with_queue().await;
    let mut sent = envelope(&queue, "{}");
    let due = Timestamp::now() + Duration::from_millis(1300);
    sent.run_at = Some(due);
    broker.publish(vec![sent.clone()]).await.remove(0).unwrap();
    let mut consumer = consume(&broker, &queue, 1).await;
    let delivery = take_one(&mut consumer).await;
    assert!(Timestamp::now() >= due, "it came early");
    assert_eq!(*delivery.job.as_ref().unwrap(), sent);
    delivery.receipt.ack(done()).await.unwrap();
    drop(consumer);
    assert_eq!(broker.depth(&queue).await.unwrap(), 0, "the hop left no second copy");
}

pub(super) async fn a_code_expires_in_the_dlq_and_not_in_the_ladder(site: Site) {
    let (broker, queue) = site.with_queue().await;
    let end = Timestamp::now() + Duration::from_secs(90);
    let mut sent = envelope(&queue, "{\"code\":\"123456\"}");
    sent.headers.insert(SENSITIVE.into(), "otp".into());
    sent.headers.insert(EXPIRES_AT.into(), end.to_string());
    broker.publish(vec![sent.clone()]).await.remove(0).unwrap();
    let first = site.get(queue.as_str()).await;
    let life: i64 = first.properties.expiration().as_ref().unwrap().as_str().parse().unwrap();
    assert!((60_000..=90_000).contains(&life), "{life} ms");

    broker.publish(vec![sent]).await.remove(0).unwrap();
    let mut consumer = consume(&broker, &queue, 1).await;
    let delivery = take_one(&mut consumer).await;
    let retry = again(&delivery, Duration::from_millis(500));
    delivery.receipt.retry(retry).await.unwrap();
    let delivery = take_one(&mut consumer).await;
    let job = delivery.job.as_ref().unwrap();
    assert!(job.is_sensitive() && job.headers[EXPIRES_AT] == end.to_string());
    let error = ErrorReport::new(ErrorClass::Error, "550 no such user");
    let letter = DeadLetter { reason: Reason::Permanent, error, attempt: 2 };
    delivery.receipt.dead_letter(letter).await.unwrap();
    let dead = site.get(&format!("{queue}.dlq")).await;
    let life: i64 = dead.properties.expiration().as_ref().unwrap().as_str().parse().unwrap();
    assert!((30_000..90_000).contains(&life), "{life} ms");
}
