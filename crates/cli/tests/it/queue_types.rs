//! A queue of RabbitMQ that exists with other properties than ours: refused the same way by whoever would use it, with a
//! remedy that there is.

use backshift_testkit::wait;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;

use crate::scene::{PATIENCE, Place, backshift, probe};

const QUEUE: &str = "older";

fn job(key: &str) -> Value {
    let mut line = probe(key, "ok", 0, 0);
    line["queue"] = QUEUE.into();
    line
}

async fn enqueue(place: &Place, more: &[&str]) -> crate::scene::Ended {
    let flags: Vec<&str> = place.flags.iter().map(String::as_str).collect();
    let job = ["enqueue", "backshift.probe", "--payload", "{\"key\":\"x\"}", "--queue", QUEUE];
    backshift(&[&job[..], more, &flags].concat(), &[("BACKSHIFT_PROBE", "true")]).await
}

#[tokio::test]
async fn what_a_worker_refuses_enqueue_refuses_with_the_same_words() {
    let Some(place) = Place::rabbitmq().await else { return };
    place.migrate().await;
    place.vhost().declare(QUEUE, FieldTable::default()).await;
    // Straight to the broker, and by way of the store.
    for more in
        [&[][..], &["--unique-key", "k"], &["--in", "1h"], &["--id", "0197e5a0-0000-7000-8000-000000000001"]]
    {
        let refused = enqueue(&place, more).await;
        assert_eq!(refused.code, 78, "{more:?}: {refused:?}");
        assert!(
            refused.err.contains("x-queue-type") && refused.err.contains("BACKSHIFT_RABBITMQ_QUEUE_TYPE"),
            "{refused:?}"
        );
    }
    let listed = place.run(&["jobs", "list", "--json"]).await.done().list();
    assert!(listed.is_empty() && place.depth(QUEUE).await == Some(0), "something was accepted: {listed:#?}");
    let worker = place.start(&format!("{QUEUE}:2"));
    worker.answers(503, &["BACKSHIFT_RABBITMQ_QUEUE_TYPE"]).await;
    assert_eq!(worker.drained().await, Some(0));
}

#[tokio::test]
async fn the_remedy_that_is_named_works() {
    let Some(place) = Place::rabbitmq().await else { return };
    place.migrate().await;
    let mut odd = FieldTable::default();
    odd.insert("x-max-priority".into(), AMQPValue::LongInt(5));
    for (word, arguments) in [("classic", FieldTable::default()), ("existing", odd)] {
        let vhost = place.vhost();
        vhost.declare(QUEUE, arguments).await;
        let place = &place;
        let settings = [("BACKSHIFT_RABBITMQ_QUEUE_TYPE", word)];
        let worker = place.start_with(&format!("{QUEUE}:2"), &settings).when_ready().await;
        let key = format!("of-a-{word}-queue");
        place.enqueue_with(&[job(&key)], &settings).await;
        let done = wait::until(PATIENCE, || async { place.count("effects", &key).await == 1 });
        assert!(done.await, "{word}\n{}", worker.output());
        assert_eq!(worker.drained().await, Some(0));
        vhost.delete_queue(QUEUE).await;
    }
}
