//! Neighbours: what system C's Go code writes and declares, and what nobody should write.

use std::{sync::Arc, time::Duration};

use backshift_brokers::rabbitmq::Options;
use backshift_core::{
    Broker, Bytes, DeadLetter, ErrorClass, ErrorReport, Headers, JobId, Kind, Reason, Retry, Timestamp,
    broker::{Binding, Decoded, Decoder},
    wire::{EXPIRES_AT, SENSITIVE, TRACEPARENT},
};
use backshift_testkit::servers;
use lapin::{BasicProperties, options::BasicPublishOptions};

use super::site::{Site, consume, done, envelope, mail_binding, payload, publish, take_one};

const MAIL: &str = "{\"Subject\":\"Hej \\u00e5\",\"Recipient\":\"ab@x.io\",\"Body\":\"<p>1</p>\",\"ReplyTo\":\"\",\
                    \"CcAddresses\":null,\"Attachments\":[],\"Later\":18446744073709551615}";

pub(super) async fn the_go_producers_mail_is_worked_and_buried_as_it_came(site: Site) {
    let binding = mail_binding();
    let (queue, exchange) = (binding.queue.clone(), binding.feed.clone().unwrap());
    let broker = site.broker_with(Options::default(), vec![binding]);
    broker.declare(&queue).await.unwrap();
    let neighbour = site.neighbour(&exchange).await;
    let Some(()) = site.peer(&["mail", &exchange], MAIL.as_bytes()).await else { return };
    let mut consumer = consume(&broker, &queue, 2).await;
    let delivery = take_one(&mut consumer).await;
    let job = delivery.job.as_ref().unwrap().clone();
    assert!(delivery.anonymous && !delivery.redelivered);
    assert_eq!((job.kind.as_str(), job.attempt, payload(&delivery).as_str()), ("email.send", 1, MAIL));
    let mut next = job.clone();
    next.attempt = 2;
    let retry = Retry { next, delay: Duration::from_millis(200), counted: true, error: None };
    delivery.receipt.retry(retry).await.unwrap();

    let delivery = take_one(&mut consumer).await;
    let second = delivery.job.as_ref().unwrap();
    assert_eq!((second.id, second.attempt, &second.payload[..]), (job.id, 2, MAIL.as_bytes()));
    assert!(!delivery.anonymous, "from the first retry on it has an id");
    let error = ErrorReport::new(ErrorClass::Error, "550 5.1.1 unknown");
    delivery.receipt.dead_letter(DeadLetter { reason: Reason::Permanent, error, attempt: 2 }).await.unwrap();
    let dead = site.get(&format!("{queue}.dlq")).await;
    assert_eq!(dead.data, MAIL.as_bytes());
    assert_eq!(dead.properties.content_type().as_ref().unwrap().as_str(), "text/plain");

    assert_eq!(site.get(&neighbour).await.data, MAIL.as_bytes());
    assert_eq!(
        broker.depth(&neighbour.parse().unwrap()).await.unwrap(),
        0,
        "retries never pass the exchange"
    );

    site.peer(&["mail", &exchange], b"{\"Subject\":").await.unwrap();
    let delivery = take_one(&mut consumer).await;
    let malformed = delivery.job.unwrap_err();
    let error = ErrorReport::new(ErrorClass::Error, &malformed.problem);
    delivery.receipt.dead_letter(DeadLetter { reason: Reason::Malformed, error, attempt: 1 }).await.unwrap();
    assert_eq!(site.get(&format!("{queue}.dlq")).await.data, b"{\"Subject\":");
}

pub(super) async fn peers_can_still_declare_as_they_always_did(site: Site) {
    let binding = mail_binding();
    let (queue, exchange) = (binding.queue.clone(), binding.feed.clone().unwrap());
    let broker = site.broker_with(Options::default(), vec![binding.clone()]);
    publish(&broker, &queue, &[MAIL]).await;
    let mut consumer = consume(&broker, &queue, 1).await;
    take_one(&mut consumer).await.receipt.ack(done()).await.unwrap();
    let Some(()) = site.peer(&["declare", &exchange, queue.as_str()], b"").await else { return };
    // And the other way round: what the peer made is fine for us.
    let theirs = mail_binding();
    let names = (theirs.feed.clone().unwrap(), theirs.queue.clone());
    site.peer(&["declare", &names.0, names.1.as_str()], b"").await.unwrap();
    site.broker_with(Options::default(), vec![theirs]).declare(&names.1).await.unwrap();
}

pub(super) async fn odd_headers_and_forged_histories_do_no_harm(site: Site) {
    let (broker, queue) = site.with_queue().await;
    let other = servers::unique_queue("other");
    broker.declare(&other).await.unwrap();
    let Some(()) = site.peer(&["odd", queue.as_str(), other.as_str()], b"{}").await else { return };
    site.get(other.as_str()).await; // The producer's own carbon copy.
    let mut consumer = consume(&broker, &queue, 1).await;
    for attempt in 1..=3 {
        let delivery = take_one(&mut consumer).await;
        let job = delivery.job.as_ref().unwrap().clone();
        assert_eq!(
            (job.attempt, job.kind.as_str(), job.created_at.as_second()),
            (attempt, "test.odd", 1_700_000_000)
        );
        let text = |name: &str| job.headers.get(name).map(String::as_str);
        assert_eq!((text("tenant"), text("retries"), text("flag")), (Some("blue"), Some("7"), Some("true")));
        assert_eq!((text("big"), text("nested"), text("x-death")), (Some("4611686018427387904"), None, None));
        let next = backshift_core::Envelope { attempt: attempt + 1, ..job };
        let delay = Duration::from_millis(if attempt == 2 { 100 } else { 0 });
        delivery.receipt.retry(Retry { next, delay, counted: true, error: None }).await.unwrap();
    }
    let delivery = take_one(&mut consumer).await;
    let error = ErrorReport::new(ErrorClass::Error, "no");
    delivery.receipt.dead_letter(DeadLetter { reason: Reason::Permanent, error, attempt: 4 }).await.unwrap();
    let dead = site.get(&format!("{queue}.dlq")).await;
    let (properties, table) = (&dead.properties, dead.properties.headers().clone().unwrap());
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "evt_42");
    assert_eq!(properties.correlation_id().as_ref().unwrap().as_str(), "c-1");
    assert_eq!(properties.reply_to().as_ref().unwrap().as_str(), "answers");
    assert_eq!((*properties.priority(), *properties.timestamp()), (Some(3), Some(1_700_000_000)));
    assert!(table.inner()["nested"].as_field_table().is_some(), "headers that are no text are carried over");
    assert_eq!(broker.depth(&other).await.unwrap(), 0, "copies are not routed to the foreign CC again");
}

pub(super) async fn bytes_that_are_no_text_do_not_stop_the_queue(site: Site) {
    let (broker, queue) = site.with_queue().await;
    let Some(()) = site.peer(&["garbled", queue.as_str()], b"{}").await else { return };
    site.peer(&["deep", queue.as_str()], b"[]").await.unwrap();
    publish(&broker, &queue, &["after"]).await;
    let mut consumer = consume(&broker, &queue, 4).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let delivery = take_one(&mut consumer).await;
        seen.push(payload(&delivery));
        delivery.receipt.ack(done()).await.unwrap();
    }
    seen.sort();
    assert_eq!(seen, ["[]", "after", "{}"]);
}

/// Reads the id and the user of a job out of its body: `who:which`.
struct Named;

impl Decoder for Named {
    fn decode(&self, raw: &Bytes, _headers: &Headers) -> Result<Decoded, String> {
        let text = std::str::from_utf8(raw).map_err(|_| "not UTF-8".to_owned())?;
        let (user, id) = text.split_once(':').ok_or("no user")?;
        let decoded = Decoded::from(Kind::new("test.named").unwrap());
        Ok(Decoded { id: Some(id.to_owned()), user_id: user.parse().ok(), ..decoded })
    }
}

pub(super) async fn an_id_in_the_body_is_the_jobs_and_one_on_the_message_beats_it(site: Site) {
    const USER: &str = "6f0c3a52-91d7-4b8e-a1f4-7c550e2b93d8";
    let binding = Binding { decoder: Arc::new(Named), ..mail_binding() };
    let (queue, exchange) = (binding.queue.clone(), binding.feed.clone().unwrap());
    let broker = site.broker_with(Options::default(), vec![binding]);
    broker.declare(&queue).await.unwrap();
    let (_connection, channel) = site.raw().await;
    let send = async |body: String, properties: BasicProperties| {
        let (to, options) = (exchange.as_str().into(), BasicPublishOptions::default());
        channel.basic_publish(to, "".into(), options, body.as_bytes(), properties).await.unwrap();
    };
    let mut consumer = consume(&broker, &queue, 1).await;
    let mut ids = Vec::new();
    for body in [format!("{USER}:order/17"), format!("{USER}:order/17"), format!("{USER}:order/18")] {
        send(body, BasicProperties::default()).await;
        let delivery = take_one(&mut consumer).await;
        let job = delivery.job.as_ref().unwrap();
        assert!(!delivery.anonymous);
        assert_eq!(job.user_id.unwrap().to_string(), USER);
        ids.push(job.id);
        delivery.receipt.ack(done()).await.unwrap();
    }
    assert!(ids[0] == ids[1] && ids[1] != ids[2], "the body's id names the job: {ids:?}");
    let id = JobId::generate();
    send("nobody:order/17".into(), BasicProperties::default().with_message_id(id.to_string().into())).await;
    let delivery = take_one(&mut consumer).await;
    let job = delivery.job.as_ref().unwrap();
    assert_eq!((job.id, job.user_id), (id, None));
    delivery.receipt.ack(done()).await.unwrap();
}

pub(super) async fn a_first_publish_passes_the_exchange_and_a_retry_does_not(site: Site) {
    let binding = mail_binding();
    let (queue, exchange) = (binding.queue.clone(), binding.feed.clone().unwrap());
    let broker = site.broker_with(Options::default(), vec![binding]);
    let mut mail = envelope(&queue, MAIL);
    mail.kind = Kind::new("email.send").unwrap();
    mail.headers.insert(TRACEPARENT.into(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    // Nothing was declared before: a mail that is sent before the first worker ran is kept.
    broker.publish(vec![mail.clone()]).await.remove(0).unwrap();
    let neighbour = site.neighbour(&exchange).await;
    let mut consumer = consume(&broker, &queue, 1).await;
    let delivery = take_one(&mut consumer).await;
    assert_eq!(*delivery.job.as_ref().unwrap(), mail);
    delivery.receipt.ack(done()).await.unwrap();

    broker.publish(vec![mail.clone()]).await.remove(0).unwrap();
    let copy = site.get(&neighbour).await;
    assert_eq!(
        (copy.delivery.data.clone(), *copy.properties.delivery_mode()),
        (MAIL.as_bytes().to_vec(), Some(2))
    );
    assert_eq!(copy.properties.message_id().as_ref().unwrap().as_str(), mail.id.to_string());
    assert_eq!(copy.properties.content_type().as_ref().unwrap().as_str(), "application/json");
    take_one(&mut consumer).await.receipt.ack(done()).await.unwrap();
    mail.attempt = 2;
    let own = envelope(&queue, "{\"challenge\":\"c1\"}");
    for answer in broker.publish(vec![mail, own]).await {
        answer.unwrap();
    }
    for _ in 0..2 {
        let delivery = take_one(&mut consumer).await;
        let job = delivery.job.as_ref().unwrap();
        assert!(job.attempt == 2 || job.kind.as_str() == "test.echo", "the kind of a job of ours is its own");
        delivery.receipt.ack(done()).await.unwrap();
    }
    assert_eq!(broker.depth(&neighbour.parse().unwrap()).await.unwrap(), 0);
}

pub(super) async fn a_sensitive_mail_passes_the_exchange_and_ends_with_its_use(site: Site) {
    let binding = mail_binding();
    let queue = binding.queue.clone();
    let broker = site.broker_with(Options::default(), vec![binding]);
    let end = Timestamp::now() + Duration::from_secs(300);
    let mail = || {
        let mut mail = envelope(&queue, MAIL);
        mail.kind = Kind::new("email.send").unwrap();
        mail.headers = Headers::from([(SENSITIVE.to_owned(), "otp".to_owned())]);
        mail.headers.insert(EXPIRES_AT.to_owned(), end.to_string());
        mail
    };
    let publish = async |mail| broker.publish(vec![mail]).await.remove(0).unwrap();
    publish(mail()).await;
    let raw = site.get(queue.as_str()).await;
    assert_eq!((raw.data.as_slice(), *raw.properties.delivery_mode()), (MAIL.as_bytes(), Some(2)));
    let life: u64 = raw.properties.expiration().as_ref().unwrap().as_str().parse().unwrap();
    assert!((1..=300_000).contains(&life), "{life} ms");

    publish(mail()).await;
    let mut consumer = consume(&broker, &queue, 1).await;
    let delivery = take_one(&mut consumer).await;
    let job = delivery.job.as_ref().unwrap();
    assert!(job.is_sensitive() && !delivery.anonymous && job.kind.as_str() == "email.send");
    assert_eq!(job.headers[EXPIRES_AT], end.to_string());
    delivery.receipt.ack(done()).await.unwrap();

    // Somebody else deletes the queue: the next mail finds it made again.
    drop(consumer);
    site.broker_with(Options::default(), Vec::new()).remove(&queue).await.unwrap();
    publish(mail()).await;
    assert_eq!(site.get(queue.as_str()).await.data, MAIL.as_bytes());
}
