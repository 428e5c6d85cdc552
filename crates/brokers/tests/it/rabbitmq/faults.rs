//! Broken connections, silent and blocked servers, queues that vanish.

use std::time::{Duration, Instant};

use backshift_brokers::rabbitmq::{Config, Options, RabbitMqBroker};
use backshift_core::{Broker, BrokerError};
use backshift_testkit::{pace, servers, wait};
use lapin::options::QueueDeleteOptions;

use super::{
    proxy::Proxy,
    site::{PATIENCE, Site, consume, done, envelope, payload, publish, take_one},
};

pub(super) async fn a_forced_close_is_survived(site: Site) {
    let name = servers::unique_name("forced");
    let broker = site.broker_with(Options { connection_name: name.clone(), ..Options::default() }, vec![]);
    let queue = servers::unique_queue("it");
    broker.declare(&queue).await.unwrap();
    publish(&broker, &queue, &["held"]).await;
    let mut consumer = consume(&broker, &queue, 1).await;
    let held = take_one(&mut consumer).await;
    let (site, name) = (&site, &name);
    // The management API learns of connections every few seconds.
    let closed = wait::until(PATIENCE * 2, || async move {
        let (_, text) = site.manage("GET", "/api/connections").await;
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        let ours = |c: &&serde_json::Value| {
            c["client_properties"]["connection_name"].as_str().is_some_and(|n| n.starts_with(name.as_str()))
        };
        let ours: Vec<_> = list.as_array().unwrap().iter().filter(ours).collect();
        for connection in &ours {
            let path = connection["name"].as_str().unwrap().replace(' ', "%20").replace('>', "%3E");
            assert_eq!(site.manage("DELETE", &format!("/api/connections/{path}")).await.0, 204);
        }
        ours.len() >= 2
    });
    assert!(closed.await, "both connections were seen and closed");
    assert!(wait::within(PATIENCE, consumer.next(1)).await.unwrap().is_err());
    assert!(held.receipt.ack(done()).await.is_err());
    // Publishing recovers by itself; an answer that is lost may be asked for again with the same id.
    let next = envelope(&queue, "next");
    let (broker, next) = (&broker, &next);
    let accepted =
        wait::until(PATIENCE, || async move { broker.publish(vec![next.clone()]).await.remove(0).is_ok() });
    assert!(accepted.await);
    let mut consumer = consume(broker, &queue, 2).await;
    let first = take_one(&mut consumer).await;
    assert_eq!((payload(&first).as_str(), first.redelivered), ("held", true));
    first.receipt.ack(done()).await.unwrap();
    let second = take_one(&mut consumer).await;
    assert_eq!(second.job.as_ref().unwrap().id, next.id);
    second.receipt.ack(done()).await.unwrap();
}

pub(super) async fn a_deleted_queue_ends_the_consumer_and_comes_back(site: Site) {
    let (broker, queue) = site.with_queue().await;
    let mut consumer = consume(&broker, &queue, 1).await;
    let (_connection, channel) = site.raw().await;
    channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    let error = wait::within(PATIENCE, consumer.next(1)).await.unwrap().unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("deleted"), "{error}");
    let refused = broker.publish(vec![envelope(&queue, "{}")]).await.remove(0);
    assert!(matches!(refused, Err(BrokerError::Rejected { .. })), "{refused:?}");
    let mut consumer = consume(&broker, &queue, 1).await;
    publish(&broker, &queue, &["back"]).await;
    take_one(&mut consumer).await.receipt.ack(done()).await.unwrap();
}

fn hasty() -> Options {
    // Of a server that answers, all the same.
    let limit = pace::stretched(Duration::from_millis(700));
    Options { confirm_timeout: limit, connect_timeout: Duration::from_secs(5), ..Options::default() }
}

pub(super) async fn a_silent_server_means_unknown_and_the_same_id_may_go_again(site: Site) {
    let (direct, queue) = site.with_queue().await;
    let proxy = Proxy::start(&site.url).await;
    let broker = RabbitMqBroker::new(Config::from_url(&proxy.url(&site), hasty()).unwrap(), vec![]);
    publish(&broker, &queue, &["before"]).await;
    proxy.mute(true);
    let job = envelope(&queue, "unknown");
    let begun = Instant::now();
    let answer = broker.publish(vec![job.clone()]).await.remove(0);
    assert!(matches!(answer, Err(BrokerError::Unknown { .. })), "{answer:?}");
    assert!(begun.elapsed() < pace::stretched(Duration::from_secs(5)), "{:?}", begun.elapsed());
    // It did arrive: that is what unknown means.
    let arrived = wait::until(PATIENCE, || async { direct.depth(&queue).await.unwrap() == 2 }).await;
    assert!(arrived);
    proxy.mute(false);
    broker.publish(vec![job.clone()]).await.remove(0).unwrap();
    let mut consumer = consume(&direct, &queue, 3).await;
    let mut same = 0;
    for delivery in super::site::take(&mut consumer, 3).await {
        same += u32::from(delivery.job.as_ref().unwrap().id == job.id);
        delivery.receipt.ack(done()).await.unwrap();
    }
    assert_eq!(same, 2, "the ledger tells the two apart by their one id");
}

pub(super) async fn a_blocked_connection_says_why(site: Site) {
    let (_, queue) = site.with_queue().await;
    let proxy = Proxy::start(&site.url).await;
    let broker = RabbitMqBroker::new(Config::from_url(&proxy.url(&site), hasty()).unwrap(), vec![]);
    publish(&broker, &queue, &["before"]).await;
    proxy.block("low on memory").await;
    let broker_ref = &broker;
    let told = || {
        wait::until(PATIENCE, || async move {
            matches!(broker_ref.ping().await, Err(BrokerError::Unavailable { problem, .. }) if problem.contains("low on memory"))
        })
    };
    assert!(told().await, "the probe tells");
    let answer = broker.publish(vec![envelope(&queue, "no")]).await.remove(0);
    let Err(BrokerError::Unavailable { problem, .. }) = answer else { panic!("{answer:?}") };
    assert!(problem.contains("low on memory"), "{problem}");
    proxy.unblock().await;
    let queue_ref = &queue;
    let passes = wait::until(PATIENCE, || async move {
        broker_ref.publish(vec![envelope(queue_ref, "after")]).await.remove(0).is_ok()
    });
    assert!(passes.await, "publishing goes on on the same connection");
    proxy.block("low on memory").await;
    assert!(told().await, "the probe tells again");
    let (answers, closed) = tokio::join!(broker.publish(vec![envelope(&queue, "no")]), broker.close());
    assert!(matches!(answers[0], Err(BrokerError::Unavailable { .. })), "{answers:?}");
    closed.unwrap();
}

pub(super) async fn a_server_that_is_away_is_unavailable(site: Site) {
    let proxy = Proxy::start(&site.url).await;
    let url = proxy.url(&site);
    proxy.close_for_good();
    let broker = RabbitMqBroker::new(Config::from_url(&url, hasty()).unwrap(), vec![]);
    let error = broker.ping().await.unwrap_err();
    assert!(matches!(error, BrokerError::Unavailable { .. }), "{error}");
    let answers = broker.publish(vec![envelope(&servers::unique_queue("it"), "{}")]).await;
    assert!(matches!(&answers[0], Err(BrokerError::Unavailable { .. })), "{answers:?}");
}
