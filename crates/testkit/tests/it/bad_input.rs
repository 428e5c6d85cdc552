//! Bad input at the door: a client refuses it with a text that names the limit, and nothing is accepted.

use std::sync::Arc;

use backshift_core::{
    Accepted, Bytes, Client, ConsumeOptions, EnqueueError, Envelope, JobId, Kind, Timestamp, UniqueKey,
    UniquePolicy, WorkerName, broker::Occupied,
};
use backshift_testkit::{memory::MemoryBroker, memory::MemoryStore, payloads, servers::unique_queue};

fn envelope(queue: &str, payload: impl Into<Bytes>) -> Envelope {
    let kind = Kind::new("bad.input").expect("the name is legal");
    Envelope::new(kind, unique_queue(queue), payload, Timestamp::now())
}

#[tokio::test]
async fn client_refuses_what_is_out_of_range_and_names_the_range() {
    let broker = MemoryBroker::new();
    let client = Client::new(Arc::new(broker.clone()), None);
    let with = |change: fn(&mut Envelope)| {
        let mut envelope = envelope("refused", "x");
        change(&mut envelope);
        envelope
    };
    let unique = |key: String| Some(UniqueKey { key, policy: UniquePolicy::Reject });
    let mut nul = with(|_| {});
    nul.unique = unique("a\0b".into());
    let mut long = with(|_| {});
    long.unique = unique("x".repeat(256));
    let cases = [
        (envelope("refused", payloads::ten_megabytes()), "262144"),
        (with(|e| e.priority = 101), "-100..=100"),
        (with(|e| e.priority = i16::MIN), "-100..=100"),
        (with(|e| e.max_attempts = Some(0)), "1 or more"),
        (with(|e| e.idempotency_key = Some(String::new())), "1 to 255"),
        (nul, "no NUL"),
        (long, "1 to 255"),
    ];
    for (envelope, named) in cases {
        let queue = envelope.queue.clone();
        match client.enqueue_raw(envelope).await {
            Err(error @ EnqueueError::Invalid(_)) => {
                assert!(error.to_string().contains(named), "{error} does not name {named}");
                assert!(!error.is_transient(), "{error} would be tried again for ever");
            }
            other => panic!("{named}: {other:?}"),
        }
        assert!(broker.is_empty(&queue), "{named}: refused and yet published");
    }
}

#[tokio::test]
async fn one_bad_envelope_does_not_take_its_batch_along() {
    let broker = MemoryBroker::new();
    let client = Client::new(Arc::new(broker.clone()), None);
    let mut batch: Vec<Envelope> = (0..5).map(|n| envelope("batch", n.to_string())).collect();
    batch[2].payload = payloads::ten_megabytes();
    let queues: Vec<_> = batch.iter().map(|envelope| envelope.queue.clone()).collect();
    let answers = client.enqueue_many(batch).await;
    for (n, (answer, queue)) in answers.iter().zip(&queues).enumerate() {
        assert_eq!(answer.is_err(), n == 2, "answer {n}: {answer:?}");
        assert_eq!(broker.is_empty(queue), n == 2, "queue {n}");
    }
}

#[tokio::test]
async fn awkward_payloads_pass_client_and_broker_byte_for_byte() {
    let broker: Arc<dyn backshift_core::Broker> = Arc::new(MemoryBroker::new());
    let client = Client::new(Arc::clone(&broker), Some(Arc::new(MemoryStore::new())));
    for (name, bytes) in payloads::awkward() {
        let sent = envelope("awkward", bytes.clone());
        let queue = sent.queue.clone();
        assert_eq!(client.enqueue_raw(sent.clone()).await.unwrap(), Accepted::New(sent.id), "{name}");
        let (worker, occupied) = (WorkerName::new("reader").unwrap(), Occupied::default());
        let lease = std::time::Duration::from_secs(5);
        let options = ConsumeOptions { slots: 1, kinds: None, lease, worker, occupied };
        let mut consumer = broker.consume(&queue, options).await.unwrap();
        let delivery = consumer.next(1).await.unwrap().pop().unwrap();
        assert_eq!(delivery.job.as_ref().unwrap().payload, bytes, "{name}");
    }
}

#[tokio::test]
async fn repeated_enqueue_with_a_chosen_id_adds_nothing_on_a_broker_that_cannot_know_ids() {
    let broker = MemoryBroker::new();
    let client = Client::new(Arc::new(broker.clone()), Some(Arc::new(MemoryStore::new())));
    let id = JobId::generate();
    let queue = unique_queue("known");
    let options = || backshift_core::EnqueueOptions { id: Some(id), ..Default::default() };
    let kind = || Kind::new("bad.input").unwrap();
    let first = client.enqueue_raw(client.envelope(kind(), queue.clone(), "one", options())).await.unwrap();
    let again = client.enqueue_raw(client.envelope(kind(), queue.clone(), "one", options())).await.unwrap();
    let other = client.enqueue_raw(client.envelope(kind(), queue.clone(), "two", options())).await.unwrap();
    assert_eq!(first, Accepted::New(id));
    assert_eq!(again, Accepted::Known { id, same_payload: true });
    assert_eq!(other, Accepted::Known { id, same_payload: false });
}
