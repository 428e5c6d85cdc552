//! Publishing: what is confirmed is there, what is not there is refused.

use std::{collections::HashSet, time::Duration};

use backshift_brokers::rabbitmq::{Config, Options, QueueType, RabbitMqBroker};
use backshift_core::{
    Accepted, Broker, BrokerError, Capability, Timestamp, UniqueKey, UniquePolicy, wire::TRACEPARENT,
};
use backshift_testkit::{servers, wait};

use super::site::{PATIENCE, Site, consume, done, envelope, publish, take, take_one};

pub(super) async fn an_envelope_comes_back_as_it_went(site: Site) {
    let (broker, queue) = site.with_queue().await;
    let mut sent = envelope(&queue, "{\"big\":18446744073709551616.0,\"a\":1,\"a\":2}");
    sent.headers.insert(TRACEPARENT.into(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    sent.headers.insert("empfänger".into(), "ümlaut".into());
    (sent.attempt, sent.max_attempts) = (3, Some(7));
    sent.user_id = Some(uuid::Uuid::now_v7());
    sent.created_at = "2026-11-21T08:15:30.123456Z".parse().unwrap();
    let answers = broker.publish(vec![sent.clone()]).await;
    assert_eq!(*answers[0].as_ref().unwrap(), Accepted::New(sent.id));
    let counted = wait::until(PATIENCE, || async { broker.depth(&queue).await.unwrap() == 1 }).await;
    assert!(counted, "the depth is 1");

    let mut consumer = consume(&broker, &queue, 1).await;
    let delivery = take_one(&mut consumer).await;
    assert_eq!(*delivery.job.as_ref().unwrap(), sent);
    assert!(!delivery.redelivered && !delivery.anonymous && delivery.start.is_none());
    delivery.receipt.ack(done()).await.unwrap();
    drop(consumer);
    broker.ping().await.unwrap();
    assert_eq!(broker.depth(&queue).await.unwrap(), 0);
}

pub(super) async fn a_missing_queue_is_refused_and_the_others_go_through(site: Site) {
    let (broker, queue) = site.with_queue().await;
    let missing = servers::unique_queue("missing");
    let batch: Vec<_> =
        (0..600).map(|i| envelope(if i % 7 == 3 { &missing } else { &queue }, "{}")).collect();
    for (i, answer) in broker.publish(batch).await.into_iter().enumerate() {
        match answer {
            Ok(_) => assert_ne!(i % 7, 3, "message {i} is nowhere"),
            Err(BrokerError::Rejected { problem, .. }) => {
                assert!(
                    i % 7 == 3 && problem.contains("unroutable") && problem.contains(missing.as_str()),
                    "{problem}"
                );
            }
            Err(error) => panic!("{error}"),
        }
    }
    let mut later = envelope(&missing, "{}");
    later.run_at = Some(Timestamp::now() + Duration::from_secs(60));
    let answer = broker.publish(vec![later]).await.remove(0);
    assert!(matches!(answer, Err(BrokerError::Rejected { .. })), "{answer:?}");
}

pub(super) async fn thousands_from_many_callers_are_all_confirmed(site: Site) {
    let (broker, queue) = site.with_queue().await;
    let callers = (0..40).map(|_| {
        let (broker, queue) = (broker.clone(), queue.clone());
        tokio::spawn(async move {
            let batch: Vec<_> = (0..75).map(|i| envelope(&queue, &format!("{{\"n\":{i}}}"))).collect();
            let ids: Vec<_> = batch.iter().map(|envelope| envelope.id).collect();
            broker.publish(batch).await.into_iter().for_each(|answer| assert!(answer.is_ok(), "{answer:?}"));
            ids
        })
    });
    let ids = futures::future::join_all(callers).await;
    let sent: HashSet<_> = ids.into_iter().flat_map(Result::unwrap).collect();
    let mut consumer = consume(&broker, &queue, 500).await;
    let deliveries = take(&mut consumer, 500).await;
    let mut seen: HashSet<_> = deliveries.iter().map(|d| d.job.as_ref().unwrap().id).collect();
    let acks = deliveries.into_iter().map(|delivery| delivery.receipt.ack(done()));
    futures::future::join_all(acks)
        .await
        .into_iter()
        .for_each(|settled| assert!(settled.is_ok(), "{settled:?}"));
    while seen.len() < sent.len() {
        for delivery in take(&mut consumer, 1).await {
            assert!(seen.insert(delivery.job.as_ref().unwrap().id), "nothing comes twice");
            delivery.receipt.ack(done()).await.unwrap();
        }
    }
    assert_eq!(seen, sent);
}

/// The server gives back what it cannot place while other confirms are on their way: nobody gets another one's answer.
pub(super) async fn callers_side_by_side_learn_the_fate_of_their_own_messages(site: Site) {
    for queue_type in [QueueType::Classic, QueueType::Quorum] {
        let broker = site.broker_with(Options { queue_type, ..Options::default() }, vec![]);
        let queue = servers::unique_queue("fates");
        broker.declare(&queue).await.unwrap();
        let callers = (0..48_usize).map(|caller| {
            let (broker, queue) = (broker.clone(), queue.clone());
            let missing = servers::unique_queue("missing");
            tokio::spawn(async move {
                for i in 0..100 {
                    let nowhere = (i + caller) % 9 == 0;
                    let sent = envelope(if nowhere { &missing } else { &queue }, "{}");
                    match broker.publish(vec![sent]).await.remove(0) {
                        Ok(_) => assert!(!nowhere, "{caller}.{i} is nowhere"),
                        Err(BrokerError::Rejected { problem, .. }) => {
                            assert!(nowhere && problem.contains(missing.as_str()), "{caller}.{i}: {problem}");
                        }
                        Err(error) => panic!("{caller}.{i}: {error}"),
                    }
                }
                (0..100).filter(|i| (i + caller) % 9 != 0).count() as u64
            })
        });
        let kept: u64 = futures::future::join_all(callers).await.into_iter().map(Result::unwrap).sum();
        assert!(wait::until(PATIENCE, || async { broker.depth(&queue).await.unwrap() == kept }).await);
        broker.remove(&queue).await.unwrap();
    }
}

pub(super) async fn what_the_server_cannot_do_is_refused(site: Site) {
    let (broker, queue) = site.with_queue().await;
    assert!(broker.capabilities().has(Capability::Delay));
    let mut urgent = envelope(&queue, "{}");
    urgent.priority = 10;
    let mut only = envelope(&queue, "{}");
    only.unique = Some(UniqueKey { key: "k".into(), policy: UniquePolicy::Reject });
    let mut keyed = envelope(&queue, "{}");
    keyed.idempotency_key = Some("order-17".into());
    let answers = broker.publish(vec![urgent, only, envelope(&queue, "{}"), keyed]).await;
    let refused = |i: usize, wanted| matches!(&answers[i], Err(BrokerError::Unsupported { capability, .. }) if *capability == wanted);
    assert!(
        refused(0, Capability::Priority) && refused(1, Capability::Unique) && answers[2].is_ok(),
        "{answers:?}"
    );
}

pub(super) async fn a_queue_with_other_arguments_is_named_and_hurts_nobody(site: Site) {
    let queue = servers::unique_queue("classic");
    let classic = Options { queue_type: QueueType::Classic, ..Options::default() };
    site.broker_with(classic, vec![]).declare(&queue).await.unwrap();
    let (broker, other) = site.with_queue().await;
    let mut consumer = consume(&broker, &other, 1).await;
    let error = broker.declare(&queue).await.unwrap_err();
    assert!(matches!(error, BrokerError::Rejected { .. }), "{error}");
    for word in [queue.as_str(), "x-queue-type", "queue_type"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    publish(&broker, &other, &["{}"]).await;
    take_one(&mut consumer).await.receipt.ack(done()).await.unwrap();
    broker.declare(&other).await.unwrap();
}

pub(super) async fn closing_flushes_and_forbids(site: Site) {
    let (broker, queue) = site.with_queue().await;
    let batch = (0..1000).map(|_| envelope(&queue, "{}")).collect();
    let publishing = tokio::spawn({
        let broker = broker.clone();
        async move { broker.publish(batch).await }
    });
    tokio::task::yield_now().await;
    broker.close().await.unwrap();
    broker.close().await.unwrap();
    let accepted = publishing.await.unwrap().into_iter().filter(Result::is_ok).count() as u64;
    let answer = broker.publish(vec![envelope(&queue, "{}")]).await.remove(0);
    assert!(matches!(answer, Err(BrokerError::Closed)), "{answer:?}");
    assert!(matches!(broker.ping().await, Err(BrokerError::Closed)));
    let depth = site.broker().depth(&queue).await.unwrap();
    assert!(depth >= accepted, "{accepted} accepted, {depth} there");
}

pub(super) async fn wrong_credentials_are_refused_without_showing_them(site: Site) {
    let at = site.url.split_once('@').unwrap().1;
    let wrong = [
        format!("amqp://nobody:geheim@{at}"),
        format!("amqp://guest:guest@{}/no-such-vhost", at.split_once('/').unwrap().0),
    ];
    for url in wrong {
        let broker = RabbitMqBroker::new(Config::from_url(&url, Options::default()).unwrap(), vec![]);
        let error = broker.ping().await.unwrap_err();
        assert!(matches!(error, BrokerError::Rejected { .. }), "{error}");
        assert!(
            !error.to_string().contains("geheim") && !format!("{broker:?}").contains("geheim"),
            "{error}"
        );
    }
}
