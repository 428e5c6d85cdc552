//! Codes that strangers try: they shut out themselves, never the one who asked for the code.

use crate::world::{World, code, from, other_than, worlds};

async fn try_from(world: &World, guess: &str, ip: &str) -> u32 {
    match world.service.verify_otp("lan@x.io", guess.into(), from(ip)).await {
        Ok(()) => 0,
        refused => code(refused),
    }
}

async fn with_code(world: &World) -> String {
    world.register("lan@x.io").await.unwrap();
    world.send_otp("lan@x.io").await.unwrap();
    world.mailed_code().await
}

#[tokio::test]
async fn a_stranger_s_tries_are_not_the_owner_s() {
    for world in worlds(|_| {}).await {
        let right = with_code(&world).await;
        let wrong = other_than(&right);
        for _ in 0..5 {
            assert_eq!(try_from(&world, &wrong, "203.0.113.1").await, 110_006);
        }
        assert_eq!(try_from(&world, &right, "203.0.113.99").await, 110_009, "his five are over");
        for _ in 0..4 {
            assert_eq!(try_from(&world, &wrong, "192.0.2.200").await, 110_006, "hers are not");
        }
        assert_eq!(try_from(&world, &right, "192.0.2.7").await, 0);
    }
}

#[tokio::test]
async fn a_code_may_be_entered_elsewhere_than_it_was_asked_for() {
    for world in worlds(|_| {}).await {
        let right = with_code(&world).await;
        assert_eq!(try_from(&world, &other_than(&right), "2001:db8::1").await, 110_006);
        assert_eq!(try_from(&world, &right, "2001:db8::1").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_strangers_together_have_twenty_tries_however_many_they_are() {
    for world in worlds(|_| {}).await {
        let right = with_code(&world).await;
        let mut crowd = tokio::task::JoinSet::new();
        for n in 0..60 {
            let (service, guess) = (world.service.clone(), other_than(&right));
            crowd.spawn(async move {
                let origin = from(&format!("203.0.{}.1", n % 30));
                code(service.verify_otp("lan@x.io", guess.into(), origin).await)
            });
        }
        let answers = crowd.join_all().await;
        assert_eq!(answers.iter().filter(|code| **code == 110_006).count(), 20, "{answers:?}");
        assert_eq!(answers.iter().filter(|code| **code == 110_009).count(), 40, "{answers:?}");
        assert_eq!(try_from(&world, &right, "198.51.100.1").await, 110_009, "the code is dead for strangers");
        assert_eq!(try_from(&world, &right, "192.0.2.7").await, 0, "and good where it was asked for");
    }
}

#[tokio::test]
async fn a_network_tries_so_many_codes_an_hour_whoever_s_they_are() {
    for world in worlds(|config| config.max_checks_ip = 4).await {
        let right = with_code(&world).await;
        for n in 0..4 {
            let email = format!("n{n}@x.io");
            let tried =
                world.service.verify_otp(&email, "123456".into(), from(&format!("203.0.113.{n}"))).await;
            assert_eq!(code(tried), 110_003);
        }
        assert_eq!(try_from(&world, &right, "203.0.113.9").await, 429);
        assert_eq!(try_from(&world, &right, "203.0.114.9").await, 0);
    }
}
