//! `client.wait` and `client.ends`: in one process, over two, and for what will never come.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backshift::{
    Backshift, Client, Drained, Job, JobContext, JobError, JobId, JobRecord, JobResult, Registry, State,
    StoreError,
    testkit::memory::{Fault, MemoryStore},
    vocabulary::store::Jobs,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::jobs::{Order, embedded, postgres, ship};

#[derive(Serialize, Deserialize)]
struct Refused;

impl Job for Refused {
    const KIND: &'static str = "refused";
    const QUEUE: &'static str = "orders";
}

async fn refuse(_: Refused, _: JobContext) -> JobResult {
    Err(JobError::permanent("no such order"))
}

/// Works until told to stop.
struct Working(Arc<Notify>, tokio::task::JoinHandle<Drained>);

impl Working {
    fn start(site: &Backshift) -> Self {
        let stop = Arc::new(Notify::new());
        let shift = site.worker(Registry::default().with(ship).with(refuse)).pool("orders", 4).unwrap();
        let told = Arc::clone(&stop);
        let running = tokio::spawn(async move { shift.run(async { told.notified().await }).await.unwrap() });
        Self(stop, running)
    }

    async fn stop(self) {
        self.0.notify_one();
        self.1.await.unwrap();
    }
}

async fn both_ends(client: &Client) -> (JobRecord, JobRecord) {
    let good = client.enqueue(&Order { number: 1 }).await.unwrap();
    let bad = client.enqueue(&Refused).await.unwrap();
    let (good, bad) = tokio::join!(client.wait(good), client.wait(bad));
    (good.unwrap(), bad.unwrap())
}

fn are_right((good, bad): (JobRecord, JobRecord)) {
    assert_eq!((good.state, bad.state), (State::Completed, State::Dead));
    assert!(bad.error.unwrap().contains("no such order"));
}

#[tokio::test]
async fn an_end_is_heard_from_the_worker_of_the_same_process_and_from_another_one() {
    let (_place, path, site) = embedded().await;
    let mut ends = site.client().ends();
    let working = Working::start(&site);
    are_right(both_ends(&site.client()).await);
    // Another site on the same file hears nothing of this one's worker and has to look.
    let elsewhere = Backshift::embedded(&path).await.unwrap();
    are_right(both_ends(&elsewhere.client()).await);
    working.stop().await;
    let mut heard = Vec::new();
    for _ in 0..4 {
        let end = ends.next().await.unwrap();
        heard.push((end.state, end.kind.to_string(), end.error.is_some()));
    }
    heard.sort();
    let (done, dead) =
        ((State::Completed, "order.ship".into(), false), (State::Dead, "refused".into(), true));
    assert_eq!(heard, [done.clone(), done, dead.clone(), dead]);
    assert_eq!(ends.missed(), 0);
}

#[tokio::test]
async fn on_a_server_too() {
    let Some((_database, url, site)) = postgres().await else { return };
    let working = Working::start(&site);
    are_right(both_ends(&site.client()).await);
    let elsewhere = Backshift::postgres(&url).await.unwrap();
    are_right(both_ends(&elsewhere.client()).await);
    working.stop().await;
}

#[tokio::test]
async fn a_job_that_is_cancelled_while_it_waits_is_over_and_one_that_nobody_knows_is_not_waited_for() {
    let (_place, _, site) = embedded().await;
    let client = site.client();
    let id = client.enqueue(&Order { number: 1 }).await.unwrap();
    let store = site.store();
    let (ended, cancelled) = tokio::join!(client.wait(id), async {
        tokio::task::yield_now().await;
        store.cancel(id).await
    });
    assert_eq!((ended.unwrap().state, cancelled.unwrap()), (State::Cancelled, State::Cancelled));
    let unknown = client.wait(JobId::generate()).await.unwrap_err();
    assert!(matches!(unknown, StoreError::NotFound(_)), "{unknown}");
}

/// Two seconds of a thousand waits: one look for five hundred of them, rarer with every one.
#[tokio::test(start_paused = true)]
async fn many_who_wait_share_their_looks() {
    let store = MemoryStore::new();
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    store.faults().plan(move |call| {
        counted.fetch_add(usize::from(call == "store.over"), Ordering::SeqCst);
        Fault::None
    });
    let client: Client =
        backshift::vocabulary::Client::new(Arc::new(store.broker()), Some(Arc::new(store.clone()))).into();
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..1000 {
        let id = client.enqueue(&Order { number }).await.unwrap();
        let client = client.clone();
        waiting.spawn(async move { client.wait(id).await.unwrap().state });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let seen = looks.load(Ordering::SeqCst);
    assert!((20..200).contains(&seen), "{seen} looks");
    for job in store.records() {
        store.cancel(job.id).await.unwrap();
    }
    while let Some(state) = waiting.join_next().await {
        assert_eq!(state.unwrap(), State::Cancelled);
    }
}
