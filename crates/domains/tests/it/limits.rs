//! How often codes are sent.

use std::time::Duration;

use backshift_domains::identity::{IdentityError, Origin};

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

#[tokio::test]
async fn loopback_is_exempt_in_dev_only() {
    for (exempt, refused) in [(true, false), (false, true)] {
        let change = move |config: &mut backshift_domains::identity::IdentityConfig| {
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
