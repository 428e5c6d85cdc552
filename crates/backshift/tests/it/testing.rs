//! `backshift::testing`: fast, with the real engine, on any site.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use backshift::{
    Client, EnqueueOptions, Handler, Job, JobContext, JobError, JobResult, Registry, State, testing,
    testkit::pace,
};
use serde::{Deserialize, Serialize};

use crate::jobs::{Order, embedded, postgres, ship};

#[derive(Debug, Serialize, Deserialize)]
struct Follow {
    left: u32,
}

impl Job for Follow {
    const KIND: &'static str = "follow";
}

/// Enqueues the next one, into the other queue by turns.
struct Follower(Client);

impl Handler<Follow> for Follower {
    async fn handle(&self, job: Follow, _: JobContext) -> JobResult {
        if let Some(left) = job.left.checked_sub(1) {
            let queue = if left % 2 == 0 { "even" } else { "odd" };
            self.0.enqueue_with(&Follow { left }, EnqueueOptions::new().queue(queue)?).await?;
        }
        Ok(())
    }
}

/// Fails once, then panics, then does it.
#[derive(Default)]
struct Flaky(AtomicU32);

impl Handler<Order> for Flaky {
    async fn handle(&self, _: Order, context: JobContext) -> JobResult {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => Err(JobError::retry("busy")),
            1 => panic!("out of paper"),
            _ => {
                context.output(format!("on attempt {}", context.attempt()));
                Ok(())
            }
        }
    }
}

/// The fastest of several, because the machine does other things meanwhile: what it can cost is what is asked.
#[test]
fn a_handlers_test_takes_less_than_fifty_milliseconds() {
    let one = || {
        let begin = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let site = testing::site();
            site.client().enqueue(&Order { number: 7 }).await.unwrap();
            assert_eq!(site.enqueued::<Order>().await[0].job, Order { number: 7 });
            let ran = site.drain(&Registry::default().with(ship)).await;
            assert_eq!((ran.len(), ran[0].state), (1, State::Completed));
            assert!(testing::run_now(&ship, &Order { number: 7 }).await.result.is_ok());
        });
        begin.elapsed()
    };
    let fastest = (0..10).map(|_| one()).min().unwrap();
    println!("a test of a handler: {fastest:?}");
    assert!(fastest < pace::stretched(Duration::from_millis(50)), "{fastest:?}");
}

#[tokio::test]
async fn what_jobs_enqueue_in_turn_runs_too_and_in_every_queue() {
    let site = testing::site();
    site.client().enqueue(&Follow { left: 5 }).await.unwrap();
    let ran = site.drain(&Registry::default().with(Follower(site.client()))).await;
    assert_eq!(ran.len(), 6);
    assert!(ran.iter().all(|job| job.state == State::Completed));
    assert!(site.enqueued::<Follow>().await.is_empty());
}

#[tokio::test]
async fn a_failed_job_waits_for_the_clock_and_what_nobody_handles_is_left_alone() {
    let site = testing::site();
    let id = site.client().enqueue(&Order { number: 7 }).await.unwrap();
    site.client().enqueue(&Follow { left: 0 }).await.unwrap();
    let handlers = Registry::default().with(Flaky::default());
    for error in ["busy", "out of paper"] {
        let ran = site.drain(&handlers).await;
        assert_eq!((ran.len(), ran[0].state), (1, State::Retrying));
        assert!(ran[0].error.as_ref().unwrap().contains(error), "{:?}", ran[0].error);
        // Back-off is by chance between nothing and 5, then 10 seconds; a minute is later than any.
        site.clock().advance(Duration::from_secs(60));
    }
    let ran = site.drain(&handlers).await;
    assert_eq!((ran[0].id, ran[0].state), (id, State::Completed));
    assert_eq!(ran[0].output.as_deref(), Some(b"on attempt 3".as_slice()));
    assert_eq!(site.enqueued::<Follow>().await.len(), 1);
}

#[tokio::test]
async fn a_real_site_is_drained_as_well() {
    let (_place, _, lite) = embedded().await;
    let mut sites = vec![lite];
    let database = postgres().await;
    sites.extend(database.as_ref().map(|(.., site)| site.clone()));
    for site in sites {
        let client = site.client();
        client.enqueue(&Order { number: 1 }).await.unwrap();
        client
            .enqueue_with(&Order { number: 2 }, EnqueueOptions::new().delay(Duration::from_secs(3600)))
            .await
            .unwrap();
        let ran = testing::drain(&client, &Registry::default().with(ship)).await;
        assert_eq!((ran.len(), ran[0].state), (1, State::Completed));
        assert_eq!(testing::enqueued::<Order>(&client).await[0].job, Order { number: 2 });
    }
}

#[tokio::test]
#[should_panic(expected = "the job from its JSON")]
async fn a_job_that_does_not_survive_its_own_json_fails_its_test() {
    #[derive(Serialize, Deserialize)]
    struct Lossy {
        #[serde(skip_serializing)]
        _number: u64,
    }
    impl Job for Lossy {
        const KIND: &'static str = "lossy";
    }
    async fn handle(_: Lossy, _: JobContext) -> JobResult {
        Ok(())
    }
    let _ = testing::run_now(&handle, &Lossy { _number: 7 }).await;
}
