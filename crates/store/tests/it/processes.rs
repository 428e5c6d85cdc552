//! A true second process: it writes to the same file, and it dies of SIGKILL with its sign of life.
//!
//! The second process is this test program again, told by two variables to run `second_process` only.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use backshift_core::WorkerName;
use backshift_store::{
    Database, Executor, Options,
    liveness::{dead_workers, sign},
};
use backshift_testkit::pace;

use crate::place::{self, Place};

const URL: &str = "BACKSHIFT_STORE_TEST_URL";
const NAME: &str = "BACKSHIFT_STORE_TEST_NAME";

/// Killed and reaped when the test ends, whatever happens.
struct Second(Child);

impl Second {
    fn begin(url: &str, name: &WorkerName) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::second_process", "--nocapture"])
            .env(URL, url)
            .env(NAME, name.as_str())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test]
async fn second_process() {
    let (Ok(url), Ok(name)) = (std::env::var(URL), std::env::var(NAME)) else { return };
    let db = Database::open(&url, &Options::default()).unwrap();
    let _sign = sign(&db, &WorkerName::new(name).unwrap()).await.unwrap().unwrap();
    for key in 0.. {
        db.sql("INSERT INTO written (k) VALUES ($1)").bind(key).run().await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn written(place: &Place, bound: &str) -> i64 {
    place.db.text(format!("SELECT count(*) FROM written WHERE k {bound}")).one().await.unwrap()
}

async fn killed(place: Place) {
    place.db.sql("CREATE TABLE written (k bigint PRIMARY KEY)").run().await.unwrap();
    let name = WorkerName::new(place::unique("second")).unwrap();
    let mut second = Second::begin(&place.url, &name);
    let began = Instant::now();
    // Both processes write at once, until the other one has written enough.
    let mut ours = 0_i64;
    while written(&place, ">= 0").await < 50 {
        assert!(
            began.elapsed() < pace::stretched(Duration::from_secs(30)),
            "the second process does not write"
        );
        ours += 1;
        place.db.sql("INSERT INTO written (k) VALUES ($1)").bind(-ours).run().await.unwrap();
    }
    assert_eq!(written(&place, "< 0").await, ours);
    let names = [name];
    assert_eq!(dead_workers(&place.db, &names).await.unwrap(), []);
    second.kill();
    let died = Instant::now();
    while dead_workers(&place.db, &names).await.unwrap().is_empty() {
        // Well before the end of a lease; how soon it is on a quiet machine, `xtask survive recovery` measures.
        assert!(died.elapsed() < Duration::from_secs(20), "the dead worker still looks alive");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_killed_process_is_noticed_on_sqlite() {
    killed(place::sqlite()).await;
}

#[tokio::test]
async fn a_killed_process_is_noticed_on_postgres() {
    if let Some(place) = place::postgres().await {
        killed(place).await;
    }
}
