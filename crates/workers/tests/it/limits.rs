//! How often codes are sent.

use std::time::Duration;

use backshift_core::identity::{Identity, IdentityError, Origin};

use crate::world::{PASSWORD, World, code, worlds};

async fn send_from(world: &World, email: &str, ip: &str) -> Result<(), IdentityError> {
    let origin = Origin { ip: Some(ip.parse().unwrap()), ..Origin::default() };
    world.service.send_otp(email, PASSWORD.into(), origin).await
}

fn wait(result: Result<(), IdentityError>) -> Duration {
    match result {
        Err(IdentityError::TooMany { retry_after }) => retry_after,
        other => panic!("a limit was expected, found {other:?}"),
    }
}

#[tokio::test]
async fn the_next_code_waits_for_the_cool_down() {
    for world in worlds(|_| {}).await {
        world.register("lan@x.io").await.unwrap();
        world.send_otp("lan@x.io").await.unwrap();
        world.later(18);
        assert_eq!(wait(world.send_otp("Lan@X.io").await), Duration::from_secs(42));
        world.later(42);
        world.send_otp("lan@x.io").await.unwrap();
        assert_eq!(world.run_queue().await.len(), 2);
    }
}

#[tokio::test]
async fn an_address_gets_five_codes_an_hour() {
    for world in worlds(|_| {}).await {
        world.register("lan@x.io").await.unwrap();
        for _ in 0..5 {
            world.send_otp("lan@x.io").await.unwrap();
            world.later(100);
        }
        assert_eq!(wait(world.send_otp("lan@x.io").await), Duration::from_secs(3600 - 500));
        world.later(3600 - 500);
        world.send_otp("lan@x.io").await.unwrap();
        assert_eq!(code(world.send_otp("lan@x.io").await), 429);
    }
}

#[tokio::test]
async fn a_client_gets_its_codes_an_hour_for_all_addresses_together() {
    for world in worlds(|config| config.max_per_hour_ip = 3).await {
        for n in 0..5 {
            world.register(&format!("u{n}@x.io")).await.unwrap();
        }
        for (n, ip) in ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:9::1"].into_iter().enumerate() {
            send_from(&world, &format!("u{n}@x.io"), ip).await.unwrap();
        }
        assert_eq!(wait(send_from(&world, "u3@x.io", "2001:db8::7").await), Duration::from_secs(3600));
        send_from(&world, "u3@x.io", "2001:db8:1::1").await.unwrap();
        send_from(&world, "u4@x.io", "192.0.2.1").await.unwrap();
    }
}

async fn guess(world: &World, email: &str, password: &str, ip: &str) -> u32 {
    let origin = Origin { ip: Some(ip.parse().unwrap()), ..Origin::default() };
    match world.service.login(email, password.into(), false, origin).await {
        Ok(_) => 200,
        refused => code(refused),
    }
}

#[tokio::test]
async fn a_password_is_guessed_so_often_an_hour_and_an_unknown_address_likewise() {
    for world in worlds(|config| config.max_failures = 3).await {
        world.member("lan@x.io").await;
        for (email, refusal) in [("lan@x.io", 110_005), ("nobody@x.io", 110_003)] {
            for n in 0..3 {
                assert_eq!(guess(&world, email, "wrong password", &format!("192.0.{n}.1")).await, refusal);
                world.later(60);
            }
            for password in ["wrong password", PASSWORD] {
                assert_eq!(guess(&world, &email.to_uppercase(), password, "198.51.100.1").await, 429);
            }
            assert_eq!(
                code(send_from(&world, email, "198.51.100.1").await),
                429,
                "no way around by the codes"
            );
        }
        let origin = Origin { ip: Some("198.51.100.1".parse().unwrap()), ..Origin::default() };
        let refused = world.service.login("lan@x.io", PASSWORD.into(), false, origin).await.map(drop);
        assert_eq!(wait(refused), Duration::from_secs(3600 - 6 * 60));
        world.later(3600 - 6 * 60);
        assert_eq!(guess(&world, "lan@x.io", PASSWORD, "192.0.2.1").await, 200);
    }
}

#[tokio::test]
async fn the_right_password_is_no_failure_and_forgets_those_before() {
    for world in worlds(|config| (config.max_failures, config.max_failures_ip) = (2, 4)).await {
        world.member("lan@x.io").await;
        for _ in 0..5 {
            assert_eq!(guess(&world, "lan@x.io", "wrong password", "192.0.2.1").await, 110_005);
            assert_eq!(guess(&world, "lan@x.io", PASSWORD, "192.0.2.1").await, 200);
        }
        assert_eq!(world.count("SELECT count(*) FROM login_failures").await, 0);
        // One client's network has its own share, whoever's password is guessed.
        for n in 0..4 {
            assert_eq!(guess(&world, &format!("n{n}@x.io"), "wrong password", "192.0.2.1").await, 110_003);
        }
        assert_eq!(guess(&world, "lan@x.io", PASSWORD, "192.0.2.99").await, 429);
        assert_eq!(guess(&world, "lan@x.io", PASSWORD, "192.0.3.1").await, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_guesses_do_not_pass_together() {
    for world in worlds(|config| config.max_failures = 3).await {
        world.member("lan@x.io").await;
        let mut guesses = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let service = world.service.clone();
            guesses.spawn(async move {
                code(service.login("lan@x.io", "wrong password".into(), false, Origin::default()).await)
            });
        }
        let refused = guesses.join_all().await;
        assert_eq!(refused.iter().filter(|code| **code == 110_005).count(), 3, "{refused:?}");
    }
}

#[tokio::test]
async fn loopback_is_exempt_in_dev_only() {
    for (exempt, refused) in [(true, false), (false, true)] {
        let change = move |config: &mut backshift_workers::identity::IdentityConfig| {
            config.max_per_hour_ip = 1;
            config.exempt_loopback = exempt;
        };
        for world in worlds(change).await {
            for n in 0..2 {
                world.register(&format!("u{n}@x.io")).await.unwrap();
            }
            send_from(&world, "u0@x.io", "127.0.0.1").await.unwrap();
            assert_eq!(send_from(&world, "u1@x.io", "::ffff:127.0.0.1").await.is_err(), refused);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_requests_do_not_pass_together() {
    for world in worlds(|config| config.max_per_hour_ip = 3).await {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..6 {
            world.register(&format!("u{n}@x.io")).await.unwrap();
        }
        for n in 0..18 {
            let service = world.service.clone();
            tasks.spawn(async move {
                let origin = Origin { ip: Some("192.0.2.1".parse().unwrap()), ..Origin::default() };
                service.send_otp(&format!("u{}@x.io", n % 6), PASSWORD.into(), origin).await
            });
        }
        let sent = tasks.join_all().await.into_iter().filter(Result::is_ok).count();
        assert_eq!(sent, 3);
        assert_eq!(world.count("SELECT count(*) FROM otp_challenges").await, 3);
        assert_eq!(world.run_queue().await.len(), 3, "a refused request queues no mail");
    }
}
