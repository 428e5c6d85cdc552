//! What needs a person, as the pages read it off the store: breakers, troubles of workers, kinds that nobody knows.

use std::time::Duration;

use backshift_core::{
    Kind, Timestamp, WorkerName,
    store::{BreakerPolicy, Breakers, Harm, Ledger, Trouble, WorkerRecord},
};

use super::house::{HOSTILE, House};

const POLICY: BreakerPolicy =
    BreakerPolicy { failures: 2, open_for: Duration::from_secs(60), open_at_most: Duration::from_secs(600) };

fn worker(troubles: Vec<Trouble>) -> WorkerRecord {
    let now = Timestamp::now();
    WorkerRecord {
        name: WorkerName::new("worker-1").unwrap(),
        queues: "orders:2".into(),
        kinds: vec![Kind::new("order.ship").unwrap()],
        started_at: now,
        seen_at: now,
        running: 0,
        troubles,
    }
}

#[tokio::test]
async fn an_open_breaker_says_why_since_when_and_when_it_is_probed() {
    let house = House::open().await;
    house.store.report("gravatar", POLICY, Err("503 busy".into())).await.unwrap();
    assert!(house.get("/overview").await.text.contains("Nothing. You can close this page."));
    house.store.report("gravatar", POLICY, Err("503 for anna@example.com".into())).await.unwrap();
    let shown = house.store.breakers().await.unwrap().remove(0);
    let since = shown.since.expect("it is open").strftime("%H:%M:%S UTC").to_string();
    let probe = shown.open_until.unwrap().strftime("%H:%M:%S UTC").to_string();
    let seen = backshift_testkit::wait::until_some(backshift_testkit::wait::PATIENCE, || async {
        Some(house.get("/overview").await.text).filter(|page| page.contains("its breaker is open"))
    });
    let page = seen.await.expect("the breaker is shown");
    assert!(page.contains("503 for an***@example.com"), "{page}");
    assert!(page.contains(&since) && page.contains(&probe), "{since} {probe}: {page}");
    assert!(page.contains("which uses no attempt"), "{page}");
    let later = house.store.breakers().await.unwrap().remove(0).since;
    house.store.report("gravatar", POLICY, Err("503 again".into())).await.unwrap();
    assert_eq!(house.store.breakers().await.unwrap()[0].since, later, "one outage has one beginning");
}

#[tokio::test]
async fn what_a_worker_tells_is_text_and_masked() {
    let house = House::open().await;
    let trouble = |part: &str, said: &str| Trouble {
        part: part.into(),
        said: said.into(),
        harm: Harm::Held,
        since: Timestamp::now(),
        next: None,
        queue: None,
        kinds: Vec::new(),
    };
    let troubles = vec![trouble("mail", "535 5.7.8 anna@example.com"), trouble(HOSTILE, HOSTILE)];
    let _alive = house.store.announce(&worker(troubles)).await.unwrap();
    for path in ["/overview", "/workers"] {
        let page = house.get(path).await.text;
        assert!(page.contains("an***@example.com") && !page.contains("anna@example.com"), "{path}: {page}");
        assert!(page.contains("ail is paused") && !page.contains("<script>alert"), "{path}: {page}");
    }
    assert!(house.get("/workers").await.text.contains("The one worker is not ready."));
    house.store.tell(&WorkerName::new("worker-1").unwrap(), &[]).await.unwrap();
    let well = backshift_testkit::wait::until(backshift_testkit::wait::PATIENCE, || async {
        house.get("/overview").await.text.contains("Nothing. You can close this page.")
    });
    assert!(well.await, "{}", house.get("/overview").await.text);
}
