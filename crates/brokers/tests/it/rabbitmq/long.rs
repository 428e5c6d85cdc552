//! Beside jobs whose deliveries were handed over: how many more are pushed, and to how many subscriptions.

use std::{collections::VecDeque, time::Instant};

use backshift_brokers::rabbitmq::{Options, QueueType, RabbitMqBroker};
use backshift_core::{Broker, Consumer, Delivery, QueueName, broker::Occupied};
use backshift_testkit::{pace, servers, wait};

use super::site::{PATIENCE, Site, consume, consume_beside, done, publish, take, take_one};

const SLOTS: usize = 4;

/// The prefetch of each subscription that the server knows.
async fn prefetches(site: &Site, queue: &QueueName) -> Vec<u64> {
    let (_, text) = site.manage("GET", "/api/consumers/%2F").await;
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    let own = all.as_array().unwrap().iter().filter(|one| one["queue"]["name"] == queue.as_str());
    own.map(|one| one["prefetch_count"].as_u64().unwrap()).collect()
}

/// A busy worker: as many jobs as it has slots for, and a queue that is never empty.
struct Busy<'a> {
    site: &'a Site,
    broker: &'a RabbitMqBroker,
    queue: &'a QueueName,
    consumer: Box<dyn Consumer>,
    held: VecDeque<Delivery>,
    left: usize,
}

impl Busy<'_> {
    async fn publish(&mut self, count: usize) {
        publish(self.broker, self.queue, &vec!["x"; count]).await;
        self.left += count;
    }

    async fn fill(&mut self, slots: usize) {
        let taken = take(&mut self.consumer, slots - self.held.len()).await;
        self.left -= taken.len();
        self.held.extend(taken);
    }

    /// One job after the other ends, and never all of them, until so many are pushed.
    async fn works_until_pushed(&mut self, slots: usize) {
        let begun = Instant::now();
        // What the management knows is some seconds old.
        while begun.elapsed() < pace::stretched(PATIENCE) {
            self.publish(1).await;
            self.held.pop_front().unwrap().receipt.ack(done()).await.unwrap();
            self.fill(slots).await;
            if prefetches(self.site, self.queue).await.iter().sum::<u64>() == slots as u64 {
                return;
            }
        }
        panic!("the server pushes {:?}, not {slots}", prefetches(self.site, self.queue).await);
    }

    /// Everything that this worker does not run is there for others.
    async fn holds_no_more(&mut self) {
        let mut other = consume(self.broker, self.queue, 1000).await;
        drop(take(&mut other, self.left).await);
        other.quiet().await;
    }
}

pub(super) async fn a_busy_queue_keeps_pushing_beside_a_long_job(site: Site) {
    for queue_type in [QueueType::Quorum, QueueType::Classic] {
        let broker = site.broker_with(Options { queue_type, ..Options::default() }, Vec::new());
        let (queue, occupied) = (servers::unique_queue("it"), Occupied::default());
        let consumer = consume_beside(&broker, &queue, SLOTS, &occupied).await;
        let (site, broker, queue) = (&site, &broker, &queue);
        let mut busy = Busy { site, broker, queue, consumer, held: VecDeque::new(), left: 0 };
        busy.publish(20).await;
        busy.fill(SLOTS).await;
        let long = occupied.take();
        busy.held.pop_front().unwrap().receipt.hand_over().await.unwrap();
        busy.works_until_pushed(SLOTS - 1).await;
        busy.holds_no_more().await;
        drop(long);
        busy.works_until_pushed(SLOTS).await;
        busy.holds_no_more().await;
        // When nothing is left to do, one subscription stands for all of them.
        while busy.left + busy.held.len() > 0 {
            for delivery in busy.held.drain(..) {
                delivery.receipt.ack(done()).await.unwrap();
            }
            busy.fill(busy.left.min(SLOTS)).await;
        }
        let one = || async { prefetches(site, queue).await == [SLOTS as u64] };
        tokio::select! {
            _ = busy.consumer.next(SLOTS) => panic!("nothing is left"),
            one = wait::until(PATIENCE, one) => assert!(one, "{:?}", prefetches(site, queue).await),
        }
        busy.consumer.quiet().await;
        broker.remove(queue).await.unwrap();
    }
}

pub(super) async fn a_small_prefetch_bounds_what_is_taken_beside_a_long_job(site: Site) {
    let broker = site.broker_with(Options { prefetch: Some(2), ..Options::default() }, Vec::new());
    let (queue, occupied) = (servers::unique_queue("it"), Occupied::default());
    let mut consumer = consume_beside(&broker, &queue, SLOTS, &occupied).await;
    publish(&broker, &queue, &["long", "a", "b", "c", "d", "e"]).await;
    let mut held = take(&mut consumer, 2).await;
    let _long = occupied.take();
    held.remove(0).receipt.hand_over().await.unwrap();
    let more = wait::within(PATIENCE, consumer.next(SLOTS - 2)).await.unwrap().unwrap();
    assert_eq!(more.len(), 1, "two are out");
    // With a prefetch of one the others would starve it, with more it would keep them from others.
    let mut other = consume(&site.broker(), &queue, 10).await;
    let others = take(&mut other, 3).await;
    drop((held, more, others));
}

/// Slots that are taken by jobs whose deliveries came over another connection: no receipt of this one tells.
pub(super) async fn nothing_is_held_behind_slots_that_are_taken(site: Site) {
    let (broker, queue) = site.with_queue().await;
    let occupied = Occupied::default();
    let mut consumer = consume_beside(&broker, &queue, 2, &occupied).await;
    assert!(wait::until(PATIENCE, || async { prefetches(&site, &queue).await == [2] }).await);
    let first = occupied.take();
    let one = || async { prefetches(&site, &queue).await == [1] };
    tokio::select! {
        _ = consumer.next(1) => panic!("nothing was published"),
        one = wait::until(PATIENCE, one) => assert!(one, "{:?}", prefetches(&site, &queue).await),
    }
    // Now it is not asked any more, and what it was given already goes back.
    publish(&broker, &queue, &["a", "b"]).await;
    assert!(wait::until(PATIENCE, || async { broker.depth(&queue).await.unwrap() == 1 }).await);
    let second = occupied.take();
    consumer.put_back().await;
    let mut other = consume(&broker, &queue, 10).await;
    let both = take(&mut other, 2).await;
    assert!(wait::until(PATIENCE, || async { prefetches(&site, &queue).await == [10] }).await);
    drop(both);
    other.quiet().await;
    // A connection that is made while they are taken.
    consumer.quiet().await;
    let mut again = consume_beside(&broker, &queue, 2, &occupied).await;
    assert!(wait::until(PATIENCE, || async { prefetches(&site, &queue).await.is_empty() }).await);
    drop(first);
    let held = take_one(&mut again).await;
    let mut other = consume(&broker, &queue, 10).await;
    drop((take_one(&mut other).await, held, second));
}
