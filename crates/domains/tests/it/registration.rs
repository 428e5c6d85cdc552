//! Registering: how often, and that an address belongs to whoever confirms it.

use backshift_domains::identity::IdentityError;

use crate::world::{PASSWORD, World, code, from, origin, worlds};

async fn register_from(world: &World, email: &str, ip: &str) -> Result<(), IdentityError> {
    world.service.register(email, PASSWORD.into(), from(ip)).await
}

#[tokio::test]
async fn a_network_registers_so_often_an_hour_and_others_go_on() {
    for world in worlds(|config| config.max_registrations_ip = 3).await {
        for n in 0..3 {
            register_from(&world, &format!("u{n}@x.io"), &format!("192.0.2.{n}")).await.unwrap();
        }
        for email in ["u3@x.io", "u0@x.io"] {
            assert_eq!(code(register_from(&world, email, "192.0.2.200").await), 429);
        }
        register_from(&world, "u3@x.io", "192.0.3.1").await.unwrap();
        register_from(&world, "u4@x.io", "2001:db8::1").await.unwrap();
        world.later(3600);
        register_from(&world, "u5@x.io", "192.0.2.1").await.unwrap();
        assert_eq!(world.count("SELECT count(*) FROM users").await, 6);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_registrations_do_not_pass_together() {
    for world in worlds(|config| config.max_registrations_ip = 3).await {
        let mut all = tokio::task::JoinSet::new();
        for n in 0..20 {
            let service = world.service.clone();
            all.spawn(
                async move { service.register(&format!("u{n}@x.io"), PASSWORD.into(), origin("en")).await },
            );
        }
        let made = all.join_all().await.into_iter().filter(Result::is_ok).count();
        assert_eq!(made, 3);
        assert_eq!(world.count("SELECT count(*) FROM users").await, 3);
    }
}

#[tokio::test]
async fn a_squatter_s_password_and_code_open_nothing_when_the_owner_registers() {
    for world in worlds(|config| config.resend_cooldown = std::time::Duration::ZERO).await {
        let squatter = || "the squatter's".into();
        world.service.register("Lan@x.io", squatter(), from("203.0.113.1")).await.unwrap();
        world.service.send_otp("lan@x.io", squatter(), from("203.0.113.1")).await.unwrap();
        world.register("lan@X.io").await.unwrap();
        let his = world.mailed_code().await;
        assert_eq!(code(world.verify("lan@x.io", &his).await), 110_006);
        let old = world.service.login("lan@x.io", squatter(), false, from("203.0.113.1")).await;
        assert_eq!(code(old), 110_005);
        world.send_otp("lan@x.io").await.unwrap();
        let hers = world.mailed_code().await;
        world.verify("lan@x.io", &hers).await.unwrap();
        world.sign_in("lan@x.io").await;
        assert_eq!(world.count("SELECT count(*) FROM users").await, 1);

        // From here on it is hers, also after somebody has closed it.
        assert_eq!(code(world.service.register("lan@x.io", squatter(), from("203.0.113.1")).await), 110_004);
        world.db().sql("UPDATE users SET is_active = $1").bind(false).run().await.unwrap();
        assert_eq!(code(world.service.register("lan@x.io", squatter(), from("203.0.113.1")).await), 110_004);
        assert_eq!(code(world.send_otp("lan@x.io").await), 403, "and nobody opens it again by a mail");
    }
}

#[tokio::test]
async fn a_code_that_is_entered_while_somebody_begins_anew_opens_nothing_of_his() {
    for world in worlds(|_| {}).await {
        world.register("lan@x.io").await.unwrap();
        world.send_otp("lan@x.io").await.unwrap();
        let hers = world.mailed_code().await;
        let (service, other) = (world.service.clone(), world.service.clone());
        let (entered, anew) = tokio::join!(
            service.verify_otp("lan@x.io", hers.as_str().into(), origin("en")),
            other.register("lan@x.io", "the squatter's".into(), from("203.0.113.1")),
        );
        entered.unwrap();
        if anew.is_err() {
            assert_eq!(code(anew), 110_004);
        }
        let his = world.service.login("lan@x.io", "the squatter's".into(), false, from("203.0.113.1")).await;
        assert_eq!(code(his), 110_005);
        world.sign_in("lan@x.io").await;
    }
}

#[tokio::test]
async fn whoever_registers_after_the_owner_neither_stops_nor_takes_her_sign_up() {
    for world in worlds(|config| config.resend_cooldown = std::time::Duration::ZERO).await {
        let attacker = || ("the attacker's".into(), from("203.0.113.1"));
        world.register("lan@x.io").await.unwrap();
        world.send_otp("lan@x.io").await.unwrap();
        let hers = world.mailed_code().await;
        let (password, there) = attacker();
        world.service.register("lan@x.io", password, there).await.unwrap();
        let (password, there) = attacker();
        world.service.send_otp("lan@x.io", password, there).await.unwrap();
        let his = world.mailed_code().await;

        // His code is the newest in her mailbox. It opens nothing from where she is, and nothing from a third place.
        for place in ["192.0.2.7", "198.51.100.9"] {
            let entered = world.service.verify_otp("lan@x.io", his.as_str().into(), from(place)).await;
            assert_eq!(code(entered), 110_006, "from {place}");
        }
        world.verify("lan@x.io", &hers).await.unwrap();
        let (password, there) = attacker();
        assert_eq!(code(world.service.login("lan@x.io", password, false, there).await), 110_005);
        world.sign_in("lan@x.io").await;
        let kept = "SELECT count(*) FROM otp_challenges WHERE password_hash IS NOT NULL";
        assert_eq!(world.count(kept).await, 0);
    }
}

#[tokio::test]
async fn a_code_may_be_entered_elsewhere_while_nobody_else_asks() {
    for world in worlds(|config| config.resend_cooldown = std::time::Duration::ZERO).await {
        world.register("lan@x.io").await.unwrap();
        world.send_otp("lan@x.io").await.unwrap();
        let old = world.mailed_code().await;
        world.register("lan@x.io").await.unwrap();
        assert_eq!(code(world.verify("lan@x.io", &old).await), 110_006, "she began anew");
        world.send_otp("lan@x.io").await.unwrap();
        let hers = world.mailed_code().await;
        world.service.verify_otp("lan@x.io", hers.as_str().into(), from("198.51.100.9")).await.unwrap();
        world.sign_in("lan@x.io").await;
    }
}

#[tokio::test]
async fn too_many_waiting_passwords_are_sent_away_and_leave_nothing_behind() {
    let change = |config: &mut backshift_domains::identity::IdentityConfig| {
        (config.hash_slots, config.hash_queue) = (1, 4);
        config.max_failures_ip = 100_000;
    };
    for world in worlds(change).await {
        world.member("lan@x.io").await;
        let mut crowd = tokio::task::JoinSet::new();
        for n in 0..40 {
            let service = world.service.clone();
            crowd.spawn(async move {
                let origin = from("203.0.113.1");
                code(service.login(&format!("n{n}@x.io"), "wrong password".into(), false, origin).await)
            });
        }
        let answers = crowd.join_all().await;
        let (busy, heard) = (
            answers.iter().filter(|c| **c == 503).count(),
            answers.iter().filter(|c| **c == 110_003).count(),
        );
        assert_eq!(busy + heard, 40, "{answers:?}");
        assert!(busy > 0 && heard >= 5, "{answers:?}");
        let counted = world.count("SELECT CAST(sum(n) AS bigint) FROM auth_counts WHERE what = 'pair'").await;
        assert_eq!(counted, heard as i64, "who was sent away has failed nothing");
        world.sign_in("lan@x.io").await;
    }
}

/// A row of system C that was in use when somebody deactivated it, and that nothing else speaks for.
#[tokio::test]
async fn an_adopted_account_that_was_used_here_does_not_open_itself_again() {
    let forget = "UPDATE users SET confirmed_at = NULL, is_active = $1";
    for world in worlds(|_| {}).await {
        let lan = world.member("lan@x.io").await;
        let token = world.token("lan@x.io").await;
        for way in ["a sign-in", "a token", "a code asked for", "an admin"] {
            world.db().sql("DELETE FROM subscriptions").run().await.unwrap();
            assert_eq!(world.db().sql(forget).bind(true).run().await.unwrap(), 1);
            match way {
                "a sign-in" => drop(world.token("lan@x.io").await),
                "a token" => assert_eq!(world.caller(&token).await.unwrap().user_id, lan.user_id),
                "a code asked for" => assert_eq!(code(world.send_otp("lan@x.io").await), 110_007),
                _ => world.service.grant_admin("lan@x.io").await.unwrap(),
            }
            let close = "UPDATE users SET is_active = $1";
            world.db().sql(close).bind(false).run().await.unwrap();
            assert_eq!(code(world.register("lan@x.io").await), 110_004, "{way}");
            assert_eq!(code(world.send_otp("lan@x.io").await), 403, "{way}");
        }
        // Without any sign it is one that registered at C and was never confirmed; a wrong password is not a sign either.
        world.db().sql(forget).bind(true).run().await.unwrap();
        let wrong = world.service.login("lan@x.io", "wrong password".into(), false, origin("en")).await;
        assert_eq!(code(wrong), 110_005);
        world.db().sql(forget).bind(false).run().await.unwrap();
        world.register("lan@x.io").await.unwrap();
        world.later(61);
        world.send_otp("lan@x.io").await.unwrap();
        assert_eq!(world.count("SELECT count(*) FROM users WHERE confirmed_at IS NOT NULL").await, 0);
    }
}
