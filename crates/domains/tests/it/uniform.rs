//! With uniform errors nobody learns from login, send-otp and verify-otp which addresses have an account.

use std::time::{Duration, Instant};

use crate::world::{PASSWORD, World, code, from, origin, other_than, worlds};

/// Addresses in every state, and the codes that two of them had.
async fn town(world: &World) -> (String, String) {
    world.member("active@x.io").await;
    let used = world.mailer.messages().last().map(|mail| crate::world::code_in(mail.bytes())).unwrap();
    world.register("fresh@x.io").await.unwrap();
    for email in ["dead@x.io", "late@x.io", "pending@x.io"] {
        world.register(email).await.unwrap();
    }
    world.send_otp("late@x.io").await.unwrap();
    let late = world.mailed_code().await;
    world.later(700);
    world.send_otp("dead@x.io").await.unwrap();
    let dead = world.mailed_code().await;
    for _ in 0..5 {
        code(world.verify("dead@x.io", &other_than(&dead)).await);
    }
    world.send_otp("pending@x.io").await.unwrap();
    (used, late)
}

const EVERYBODY: [&str; 6] =
    ["active@x.io", "fresh@x.io", "dead@x.io", "late@x.io", "pending@x.io", "nobody@x.io"];

#[tokio::test]
async fn before_a_right_code_every_address_answers_alike_and_not_sooner() {
    let floor = Duration::from_millis(150);
    let change = move |config: &mut backshift_domains::identity::IdentityConfig| {
        (config.uniform_errors, config.refusal_floor, config.max_checks_ip) = (true, floor, 1000);
    };
    for world in worlds(change).await {
        let (used, late) = town(&world).await;
        let wrong =
            ["000000", "111111"].into_iter().find(|code| ![&used, &late].contains(&&(*code).to_owned()));
        for email in EVERYBODY {
            for ip in ["192.0.2.7", "203.0.113.1"] {
                let begun = Instant::now();
                let answer = world.service.verify_otp(email, wrong.unwrap().into(), from(ip)).await;
                assert_eq!(code(answer), 110_006, "{email} from {ip}");
                assert!(begun.elapsed() >= floor, "{email}: {:?}", begun.elapsed());
            }
        }
        // Whoever holds the code learns what became of it.
        assert_eq!(code(world.verify("active@x.io", &used).await), 110_007);
        assert_eq!(code(world.verify("late@x.io", &late).await), 110_008);
    }
}

/// Whoever has the code learns what became of it, also when others enter it between two of his looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_right_code_is_never_called_wrong_because_it_was_entered_at_the_same_time() {
    let change = |config: &mut backshift_domains::identity::IdentityConfig| {
        (config.uniform_errors, config.refusal_floor, config.max_checks_ip) = (true, Duration::ZERO, 1000);
    };
    for world in worlds(change).await {
        for round in 0..12 {
            let email = format!("lan{round}@x.io");
            world.register(&email).await.unwrap();
            world.send_otp(&email).await.unwrap();
            let right = world.mailed_code().await;
            let mut crowd = tokio::task::JoinSet::new();
            for _ in 0..4 {
                let (service, email, right) = (world.service.clone(), email.clone(), right.clone());
                crowd.spawn(
                    async move { service.verify_otp(&email, right.as_str().into(), origin("en")).await },
                );
            }
            let (opened, others): (Vec<_>, Vec<_>) =
                crowd.join_all().await.into_iter().partition(Result::is_ok);
            let others: Vec<u32> = others.into_iter().map(code).collect();
            assert_eq!((opened.len(), others), (1, vec![110_007; 3]), "round {round}");
        }
    }
}

#[tokio::test]
async fn unknown_addresses_and_wrong_passwords_are_one_answer() {
    for world in worlds(|config| config.uniform_errors = true).await {
        town(&world).await;
        for email in EVERYBODY {
            let login = world.service.login(email, "wrong password".into(), false, origin("en")).await;
            assert_eq!(code(login), 110_005, "{email}");
            let sent = world.service.send_otp(email, "wrong password".into(), origin("en")).await;
            assert_eq!(code(sent), 110_005, "{email}");
        }
        assert_eq!(code(world.service.send_otp("active@x.io", PASSWORD.into(), origin("en")).await), 110_007);
        assert_eq!(code(world.register("active@x.io").await), 110_004, "what the setting cannot hide");
    }
}
