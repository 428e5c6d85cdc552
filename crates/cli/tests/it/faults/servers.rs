//! Servers that are killed, restarted and frozen under load. They are this test's own: nobody else minds.
//!
//! PostgreSQL is at the same time the broker of one place and the ledger of another.

use std::time::{Duration, Instant};

use backshift_testkit::{
    servers::{Postgres, PrivateServer, RabbitMq, TestDatabase, Tuning, require},
    wait,
};

use super::{Load, nothing_left};
use crate::scene::{PATIENCE, Place, Vhost, Worker, stretched_ms};

const QUEUE: &str = "servers";
const JOBS: usize = 90;

/// Work that lasts as long as its servers have trouble.
struct Work {
    place: Place,
    load: Load,
    /// One more job after each trouble: on a slow machine the load may be over by then.
    late: Vec<Load>,
    worker: Worker,
}

impl Work {
    async fn begin(place: Place) -> Self {
        place.migrate().await;
        let load = Load::accepted(&place, QUEUE, JOBS, "sleep", 250).await;
        let worker = place.worker(&format!("{QUEUE}:4")).await;
        load.wait_effects(&place, 20, &worker).await;
        Self { place, load, late: Vec::new(), worker }
    }

    /// Waits until a job starts anew, and says how long that took.
    async fn goes_on(&mut self, what: &str) {
        let (back, before) = (Instant::now(), self.load.starts(&self.place).await);
        let key = format!("{QUEUE}-late-{}", self.late.len());
        let late = Load::of(&self.place, QUEUE, vec![key], ("ok", 0, 0)).await;
        let on = wait::until(PATIENCE, || async {
            self.load.starts(&self.place).await > before || late.starts(&self.place).await > 0
        });
        assert!(on.await, "nothing starts after {what}\n{}", self.worker.output());
        println!("after {what} the next job started within {:?}", back.elapsed());
        self.late.push(late);
    }

    async fn ends_well(self) {
        for load in self.late.iter().chain([&self.load]) {
            load.settles(&self.place, &self.worker).await;
        }
        assert_eq!(self.worker.drained().await, Some(0));
        nothing_left(&self.place, QUEUE).await;
    }
}

async fn each_trouble(server: &mut PrivateServer, work: &mut [Work]) {
    for trouble in ["a kill", "a restart", "a freeze"] {
        match trouble {
            "a kill" => server.kill().await,
            "a restart" => server.stop().await,
            _ => server.freeze(),
        }
        for one in &*work {
            one.worker.answers(503, &[]).await;
        }
        match trouble {
            "a freeze" => server.thaw(),
            _ => server.resurrect().await.unwrap(),
        }
        for one in &mut *work {
            one.goes_on(trouble).await;
        }
    }
}

#[tokio::test]
async fn a_postgresql_that_dies_or_freezes_burns_no_attempt() {
    let Some(vhost) = Vhost::create().await else {
        return;
    };
    let mut server = PrivateServer::start(&Postgres).await.unwrap();
    let broker = Place::in_database(TestDatabase::create_on(&server.url()).await, None);
    let ledger = Place::in_database(TestDatabase::create_on(&server.url()).await, Some(vhost));
    let mut work = [Work::begin(broker).await, Work::begin(ledger).await];
    each_trouble(&mut server, &mut work).await;
    for one in work {
        one.ends_well().await;
    }
}

#[tokio::test]
async fn a_rabbitmq_that_dies_or_freezes_burns_no_attempt() {
    let Some(database) = TestDatabase::create().await else {
        return;
    };
    if require("RABBITMQ_URL").is_none() {
        return;
    }
    let mut server = PrivateServer::start(&RabbitMq::DISTRIBUTION).await.unwrap();
    let mut work = [Work::begin(Place::at(&server.url(), database)).await];
    each_trouble(&mut server, &mut work).await;
    alarm(&server, &work[0]).await;
    for one in work {
        one.ends_well().await;
    }
}

/// The server closes a channel by itself when a delivery stays unacknowledged for too long: a long job is handed out
/// again while it still runs.
#[tokio::test]
async fn a_channel_that_the_server_closes_burns_no_attempt() {
    let Some(database) = TestDatabase::create().await else {
        return;
    };
    if require("RABBITMQ_URL").is_none() {
        return;
    }
    let server = PrivateServer::start(&RabbitMq::DISTRIBUTION).await.unwrap();
    server.tune(Tuning::AckTimeout(Duration::from_secs(1))).await.unwrap();
    let place = Place::at(&server.url(), database);
    place.migrate().await;
    let long = Load::accepted(&place, QUEUE, 2, "sleep", stretched_ms(6_000)).await;
    let worker = place.worker(&format!("{QUEUE}:4")).await;
    let closed = wait::until(PATIENCE, || async { worker.output().contains("delivery acknowledgement") });
    assert!(closed.await, "the server closes no channel\n{}", worker.output());
    let short = Load::accepted(&place, QUEUE, 20, "ok", 0).await;
    short.settles(&place, &worker).await;
    long.settles(&place, &worker).await;
    assert_eq!(long.starts(&place).await, 2, "a job that still ran was started again\n{}", worker.output());
    assert_eq!(worker.drained().await, Some(0));
    nothing_left(&place, QUEUE).await;
}

/// A place whose server takes back what is not acknowledged within six seconds, and whose workers hand over before that.
async fn impatient() -> Option<(PrivateServer, Place)> {
    let database = TestDatabase::create().await?;
    require("RABBITMQ_URL")?;
    let server = PrivateServer::start(&RabbitMq::DISTRIBUTION).await.unwrap();
    server.tune(Tuning::AckTimeout(Duration::from_secs(6))).await.unwrap();
    let place = Place::at(&server.url(), database).with(&[("BACKSHIFT_WORKER_HAND_OVER_AFTER", "200ms")]);
    place.migrate().await;
    Some((server, place))
}

/// Waits until the messages of so many jobs were let go.
async fn let_go(worker: &Worker, count: usize) {
    let done = || async { worker.output().matches("its message is let go").count() >= count };
    assert!(wait::until(PATIENCE, done).await, "nothing is handed over\n{}", worker.output());
}

/// The store has them before the server loses patience: nothing is delivered a second time, and others run beside them.
#[tokio::test]
async fn long_jobs_are_handed_over_before_the_server_takes_them_back() {
    let Some((_server, place)) = impatient().await else { return };
    let long = Load::accepted(&place, QUEUE, 3, "sleep", stretched_ms(15_000)).await;
    let worker = place.worker(&format!("{QUEUE}:4")).await;
    let_go(&worker, 3).await;
    let short = Load::accepted(&place, QUEUE, 20, "ok", 0).await;
    short.settles(&place, &worker).await;
    long.settles(&place, &worker).await;
    assert_eq!(long.starts(&place).await, 3, "a job was started again\n{}", worker.output());
    for word in ["delivery acknowledgement", "was delivered again"] {
        assert!(!worker.output().contains(word), "{word}:\n{}", worker.output());
    }
    assert_eq!(worker.drained().await, Some(0));
    nothing_left(&place, QUEUE).await;
}

/// After the hand-over no broker knows of the job: the store alone brings it back.
#[tokio::test]
async fn a_job_that_was_handed_over_survives_its_worker() {
    let Some((_server, place)) = impatient().await else { return };
    let long = Load::accepted(&place, QUEUE, 2, "sleep", stretched_ms(8_000)).await;
    let first = place.worker(&format!("{QUEUE}:2")).await;
    let_go(&first, 2).await;
    first.process.kill().await;
    assert_eq!(long.effects(&place).await, 0, "they were done before the kill");
    let second = place.worker(&format!("{QUEUE}:2")).await;
    long.settles(&place, &second).await;
    assert_eq!(long.starts(&place).await, 4, "two jobs, killed once\n{}", second.output());
    assert_eq!(second.drained().await, Some(0));
    nothing_left(&place, QUEUE).await;
}

/// Out of memory, the server takes no more messages; what was taken is worked all the same.
async fn alarm(server: &PrivateServer, work: &Work) {
    server.tune(Tuning::MemoryAlarm(true)).await.unwrap();
    let place = &work.place;
    let flags: Vec<&str> = place.flags.iter().map(String::as_str).collect();
    let job = ["enqueue", "backshift.probe", "--payload", "{}", "--queue", "elsewhere"];
    let refused = crate::scene::backshift(&[&job[..], &flags].concat(), &[]).await;
    assert_eq!(refused.code, 69, "{refused:?}");
    assert!(refused.err.contains("memory"), "{refused:?}");
    work.load.wait_effects(place, JOBS, &work.worker).await;
    server.tune(Tuning::MemoryAlarm(false)).await.unwrap();
}
