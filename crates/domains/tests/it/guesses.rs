//! How often a password may be guessed, and that who guesses shuts out nobody but himself.

use std::time::Duration;

use backshift_domains::identity::{IdentityError, Origin};

use crate::world::{PASSWORD, World, code, from, worlds};

const WRONG: &str = "wrong password";

async fn guess_as(world: &World, email: &str, password: &str, origin: Origin) -> u32 {
    match world.service.login(email, password.into(), false, origin).await {
        Ok(_) => 200,
        refused => code(refused),
    }
}

async fn guess(world: &World, email: &str, password: &str, ip: &str) -> u32 {
    guess_as(world, email, password, from(ip)).await
}

async fn wait(world: &World, email: &str, ip: &str) -> Duration {
    match world.service.login(email, PASSWORD.into(), false, from(ip)).await {
        Err(IdentityError::TooMany { retry_after }) => retry_after,
        other => panic!("a limit was expected, found {other:?}"),
    }
}

#[tokio::test]
async fn ten_wrong_passwords_shut_out_their_network_and_nobody_else() {
    for world in worlds(|_| {}).await {
        world.member("lan@x.io").await;
        for (email, refusal) in [("lan@x.io", 110_005), ("nobody@x.io", 110_003)] {
            for n in 0..10 {
                assert_eq!(guess(&world, email, WRONG, &format!("198.51.100.{n}")).await, refusal);
                world.later(60);
            }
            for password in [WRONG, PASSWORD] {
                assert_eq!(guess(&world, &email.to_uppercase(), password, "198.51.100.99").await, 429);
            }
            let by_code = world.service.send_otp(email, PASSWORD.into(), from("198.51.100.99")).await;
            assert_eq!(code(by_code), 429, "no way around by the codes");
            assert_eq!(guess(&world, email, WRONG, "203.0.113.1").await, refusal, "another network is heard");
        }
        assert_eq!(guess(&world, "lan@x.io", PASSWORD, "192.0.2.1").await, 200, "the owner is not shut out");
        assert_eq!(guess(&world, "lan@x.io", PASSWORD, "198.51.100.1").await, 429, "and frees no stranger");
        assert_eq!(wait(&world, "lan@x.io", "198.51.100.1").await, Duration::from_secs(3600 - 20 * 60));
        world.later(3600 - 20 * 60);
        assert_eq!(guess(&world, "lan@x.io", PASSWORD, "198.51.100.1").await, 200);
    }
}

#[tokio::test]
async fn an_account_that_many_networks_guess_hears_only_those_that_never_failed() {
    for world in worlds(|config| (config.max_failures, config.max_failures_pair) = (6, 3)).await {
        world.member("lan@x.io").await;
        for n in 0..6 {
            let ip = format!("198.51.{}.1", n % 3);
            assert_eq!(guess(&world, "lan@x.io", WRONG, &ip).await, 110_005);
        }
        assert_eq!(
            guess(&world, "lan@x.io", WRONG, "203.0.113.1").await,
            110_005,
            "one try for a new network"
        );
        for password in [WRONG, PASSWORD] {
            assert_eq!(guess(&world, "lan@x.io", password, "203.0.113.1").await, 429, "and not one more");
        }
        for _ in 0..3 {
            assert_eq!(
                guess(&world, "lan@x.io", PASSWORD, "192.0.2.1").await,
                200,
                "a right one always passes"
            );
        }
        let nowhere = Origin::default();
        assert_eq!(guess_as(&world, "lan@x.io", PASSWORD, nowhere.clone()).await, 200);
        assert_eq!(guess_as(&world, "lan@x.io", WRONG, nowhere.clone()).await, 110_005);
        assert_eq!(guess_as(&world, "lan@x.io", PASSWORD, nowhere).await, 429, "no address is a network too");
    }
}

#[tokio::test]
async fn a_right_password_forgets_what_its_own_network_failed() {
    for world in worlds(|config| (config.max_failures_pair, config.max_failures_ip) = (3, 4)).await {
        world.member("lan@x.io").await;
        assert_eq!(guess(&world, "lan@x.io", WRONG, "203.0.113.1").await, 110_005);
        for _ in 0..5 {
            for _ in 0..2 {
                assert_eq!(guess(&world, "lan@x.io", WRONG, "192.0.2.1").await, 110_005);
            }
            assert_eq!(guess(&world, "lan@x.io", PASSWORD, "192.0.2.1").await, 200);
        }
        let left = world.count("SELECT CAST(sum(n) AS bigint) FROM auth_counts WHERE what = 'account'").await;
        assert_eq!(left, 1, "the stranger's");
        // One client's network has its own share, whoever's password is guessed.
        for n in 0..4 {
            assert_eq!(guess(&world, &format!("n{n}@x.io"), WRONG, "192.0.2.1").await, 110_003);
        }
        assert_eq!(guess(&world, "lan@x.io", PASSWORD, "192.0.2.99").await, 429);
        assert_eq!(guess(&world, "lan@x.io", PASSWORD, "192.0.3.1").await, 200);
    }
}

#[tokio::test]
async fn what_is_refused_writes_nothing() {
    for world in worlds(|config| config.max_failures_pair = 2).await {
        world.member("lan@x.io").await;
        for _ in 0..2 {
            assert_eq!(guess(&world, "lan@x.io", WRONG, "192.0.2.1").await, 110_005);
        }
        let rows = "SELECT CAST(sum(n) AS bigint) + count(*) FROM auth_counts";
        let before = world.count(rows).await;
        for _ in 0..20 {
            assert_eq!(guess(&world, "lan@x.io", WRONG, "192.0.2.1").await, 429);
        }
        assert_eq!(world.count(rows).await, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_guesses_do_not_pass_together() {
    for world in worlds(|config| config.max_failures_pair = 3).await {
        world.member("lan@x.io").await;
        let mut guesses = tokio::task::JoinSet::new();
        for n in 0..12 {
            let service = world.service.clone();
            guesses.spawn(async move {
                let origin = from(&format!("192.0.2.{n}"));
                code(service.login("lan@x.io", WRONG.into(), false, origin).await)
            });
        }
        let refused = guesses.join_all().await;
        assert_eq!(refused.iter().filter(|code| **code == 110_005).count(), 3, "{refused:?}");
        assert_eq!(refused.iter().filter(|code| **code == 429).count(), 9, "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_right_passwords_at_once_are_not_taken_for_wrong_ones() {
    for world in worlds(|_| {}).await {
        world.member("lan@x.io").await;
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..48 {
            let service = world.service.clone();
            crowd.spawn(async move {
                service.login("lan@x.io", PASSWORD.into(), false, from("192.0.2.1")).await.map(drop)
            });
        }
        for answer in crowd.join_all().await {
            answer.unwrap();
        }
        assert_eq!(
            world.count("SELECT CAST(sum(n) AS bigint) FROM auth_counts WHERE what = 'pair'").await,
            0
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn right_passwords_at_once_pass_however_few_failures_lock() {
    for most in [1, 2, 3] {
        let change = move |config: &mut backshift_domains::identity::IdentityConfig| {
            (config.max_failures_pair, config.hash_slots) = (most, 8);
        };
        for world in worlds(change).await {
            world.member("lan@x.io").await;
            let mut crowd = tokio::task::JoinSet::new();
            for _ in 0..12 {
                let service = world.service.clone();
                crowd.spawn(async move {
                    service.login("lan@x.io", PASSWORD.into(), false, from("192.0.2.1")).await.map(drop)
                });
            }
            for answer in crowd.join_all().await {
                answer.unwrap_or_else(|error| panic!("{most} lock: {error:?}"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn right_passwords_at_once_wash_away_nothing_that_their_network_failed_elsewhere() {
    for world in worlds(|config| config.hash_slots = 8).await {
        world.member("lan@x.io").await;
        for n in 0..6 {
            assert_eq!(guess(&world, &format!("n{n}@x.io"), WRONG, "192.0.2.1").await, 110_003);
        }
        for _ in 0..3 {
            let mut crowd = tokio::task::JoinSet::new();
            for _ in 0..8 {
                let service = world.service.clone();
                crowd.spawn(async move {
                    service.login("lan@x.io", PASSWORD.into(), false, from("192.0.2.1")).await.map(drop)
                });
            }
            for answer in crowd.join_all().await {
                answer.unwrap();
            }
        }
        let of_network = "SELECT CAST(sum(n) AS bigint) FROM auth_counts WHERE what = 'network'";
        assert_eq!(world.count(of_network).await, 6);
    }
}

#[tokio::test]
async fn a_right_password_washes_away_nothing_of_an_hour_that_began_after_its_failures() {
    for world in worlds(|_| {}).await {
        world.member("lan@x.io").await;
        assert_eq!(guess(&world, "first@x.io", WRONG, "192.0.2.1").await, 110_003);
        world.later(3000);
        for _ in 0..8 {
            assert_eq!(guess(&world, "lan@x.io", WRONG, "192.0.2.1").await, 110_005);
        }
        world.later(700);
        for n in 0..6 {
            assert_eq!(guess(&world, &format!("n{n}@x.io"), WRONG, "192.0.2.1").await, 110_003);
        }
        assert_eq!(guess(&world, "lan@x.io", PASSWORD, "192.0.2.1").await, 200);
        let of_network = "SELECT CAST(sum(n) AS bigint) FROM auth_counts WHERE what = 'network'";
        assert_eq!(world.count(of_network).await, 6);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn guesses_of_many_accounts_and_networks_at_once_never_stand_in_each_other_s_way() {
    for world in worlds(|config| config.hash_queue = 1000).await {
        world.member("lan@x.io").await;
        let mut guesses = tokio::task::JoinSet::new();
        for n in 0..64_u32 {
            let service = world.service.clone();
            guesses.spawn(async move {
                let (email, right) = if n % 4 == 0 { ("lan@x.io", true) } else { ("else@x.io", false) };
                let password = if right { PASSWORD } else { WRONG };
                let answer =
                    service.login(email, password.into(), false, from(&format!("192.0.{}.1", n % 8))).await;
                (right, answer.map(drop))
            });
        }
        for (right, answer) in guesses.join_all().await {
            match (right, answer) {
                (true, Ok(())) => {}
                (false, refused) => assert!(matches!(code(refused), 110_003 | 429)),
                other => panic!("{other:?}"),
            }
        }
    }
}
