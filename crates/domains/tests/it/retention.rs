//! What accounts leave behind ends with its time, in batches, on both databases.

use std::time::Duration;

use backshift_core::{Timestamp, store::Retention as _};
use backshift_domains::identity::IdentityRetention;
use uuid::Uuid;

use crate::world::{World, code, worlds};

const DAY: Duration = Duration::from_secs(86_400);

async fn add(world: &World, age: Duration, life: Duration) {
    let at = Timestamp::now() - age;
    let db = world.db();
    let challenge = "INSERT INTO otp_challenges (id, user_id, email_key, purpose, nonce, issued_at, expires_at) \
        VALUES ($1, $1, 'lan@x.io', 'verify', $2, $3, $4)";
    let nonce = backshift_core::Bytes::from_static(b"nonce");
    db.sql(challenge).bind(Uuid::now_v7()).bind(nonce).bind(at).bind(at + life).run().await.unwrap();
    let send = "INSERT INTO otp_sends (id, email_key, at) VALUES ($1, 'lan@x.io', $2)";
    db.sql(send).bind(Uuid::now_v7()).bind(at).run().await.unwrap();
}

async fn count(world: &World, who: &str, age: Duration) {
    let insert = "INSERT INTO auth_counts (what, who, begun, n) VALUES ('pair', $1, $2, 3)";
    world.db().sql(insert).bind(who).bind(Timestamp::now() - age).run().await.unwrap();
}

#[tokio::test]
async fn challenges_sends_and_counts_end_with_their_time_in_batches() {
    for world in worlds(|_| {}).await {
        for days in [8, 9, 10, 6, 0] {
            add(&world, DAY * days, Duration::from_secs(600)).await;
        }
        for (who, minutes) in [("a", 121), ("b", 600), ("c", 119), ("d", 0)] {
            count(&world, who, Duration::from_secs(minutes * 60)).await;
        }
        let retention = IdentityRetention::new(world.db().clone(), DAY * 7);
        assert_eq!(retention.prune(2).await.unwrap(), 2, "a batch");
        assert_eq!(retention.prune(2).await.unwrap(), 1);
        assert_eq!(retention.prune(2).await.unwrap(), 0);
        for (table, left) in [("otp_challenges", 2), ("otp_sends", 2), ("auth_counts", 2)] {
            use backshift_store::Executor as _;
            let rows = world.db().text(format!("SELECT count(*) FROM {table}")).one::<i64>().await.unwrap();
            assert_eq!(rows, left, "{table}");
        }
    }
}

#[tokio::test]
async fn nothing_goes_that_a_limit_or_a_code_still_needs() {
    for world in worlds(|config| config.max_per_hour = 1).await {
        world.register("lan@x.io").await.unwrap();
        world.send_otp("lan@x.io").await.unwrap();
        let right = world.mailed_code().await;
        for _ in 0..2 {
            let wrong = crate::world::other_than(&right);
            assert_eq!(code(world.verify("lan@x.io", &wrong).await), 110_006);
        }
        // One that is long over, and one that was made to live for months.
        add(&world, DAY * 3, Duration::from_secs(600)).await;
        add(&world, DAY * 3, DAY * 90).await;
        let retention = IdentityRetention::new(world.db().clone(), Duration::ZERO);
        assert_eq!(retention.prune(1000).await.unwrap(), 2, "two sends of three days ago");
        assert_eq!(world.count("SELECT count(*) FROM otp_challenges").await, 2);
        assert_eq!(code(world.send_otp("lan@x.io").await), 429, "the hour is remembered");
        world.verify("lan@x.io", &right).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_pruners_at_once_take_each_row_once() {
    for world in worlds(|_| {}).await {
        for n in 0..60 {
            count(&world, &format!("n{n}"), DAY).await;
        }
        let mut pruners = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let retention = IdentityRetention::new(world.db().clone(), DAY);
            pruners.spawn(async move {
                let mut taken = 0;
                for _ in 0..4 {
                    taken += retention.prune(5).await.unwrap();
                }
                taken
            });
        }
        let mut taken: u64 = pruners.join_all().await.into_iter().sum();
        let last = IdentityRetention::new(world.db().clone(), DAY);
        taken += last.prune(1000).await.unwrap();
        assert_eq!(taken, 60);
        assert_eq!(world.count("SELECT count(*) FROM auth_counts").await, 0);
    }
}
