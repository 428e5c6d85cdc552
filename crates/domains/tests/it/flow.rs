//! Register, send-otp, verify-otp, login: the whole way, and every refusal on it.

use backshift_core::JobId;
use backshift_domains::identity::{Caller, Role};
use secrecy::ExposeSecret;
use std::time::{Duration, Instant};
use uuid::Uuid;

use crate::world::{PASSWORD, code, origin, other_than, text_of, worlds};

#[tokio::test]
async fn a_person_registers_reads_the_mail_and_signs_in() {
    for world in worlds(|_| {}).await {
        world.register("Lan@Example.org").await.unwrap();
        assert_eq!(
            code(world.service.login("lan@example.org", PASSWORD.into(), false, origin("en")).await),
            110_010
        );
        world.send_otp("LAN@example.org").await.unwrap();
        let mailed = world.mailed_code().await;
        let mail = &world.mailer.messages()[0];
        assert_eq!(mail.subject(), "SMAP - OTP VERIFICATION");
        assert_eq!(mail.envelope().to.to_string(), "Lan@example.org");
        assert!(text_of(mail.bytes()).contains("10 minutes"));

        assert_eq!(code(world.verify("lan@example.org", &other_than(&mailed)).await), 110_006);
        world.verify("lan@example.org", &mailed).await.unwrap();
        assert_eq!(code(world.verify("lan@example.org", &mailed).await), 110_007);
        assert_eq!(code(world.send_otp("lan@example.org").await), 110_007);

        let session =
            world.service.login("LAN@EXAMPLE.ORG", PASSWORD.into(), false, origin("en")).await.unwrap();
        assert_eq!(session.user.email, "Lan@Example.org", "stored as given");
        let caller = world.caller(session.token.expose_secret()).await.unwrap();
        assert_eq!(caller, Caller { user_id: session.user.id, role: Role::User });
        assert_eq!(world.service.me(caller).await.unwrap(), session.user);
        let remembered =
            world.service.login("lan@example.org", PASSWORD.into(), true, origin("en")).await.unwrap();
        assert!(remembered.expires_at > session.expires_at);
    }
}

#[tokio::test]
async fn the_activation_begins_a_trial_of_fourteen_days_on_the_free_plan() {
    for world in worlds(|_| {}).await {
        let caller = world.member("lan@x.io").await;
        let [trial] = &world.subscriptions_of(caller).await[..] else { panic!("one subscription") };
        assert_eq!(trial.status, "trialing");
        assert_eq!(trial.ends_at, trial.trial_ends_at);
        let lasts = trial.ends_at.unwrap().duration_since(trial.starts_at);
        assert_eq!(lasts.as_hours(), 14 * 24);
        let plan = world.service.plan(trial.plan_id).await.unwrap();
        assert_eq!((plan.code.as_str(), plan.name.as_str(), plan.max_usage), ("free", "Free Plan", 100));
        let second = world.member("minh@x.io").await;
        assert_eq!(world.subscriptions_of(second).await[0].plan_id, plan.id, "the plan is made once");
    }
}

#[tokio::test]
async fn the_queue_and_the_ledger_never_hold_a_code() {
    for world in worlds(|_| {}).await {
        world.register("lan@x.io").await.unwrap();
        world.send_otp("lan@x.io").await.unwrap();
        let jobs = world.run_queue().await;
        let [(context, Ok(()))] = &jobs[..] else { panic!("one job: {jobs:?}") };
        assert_eq!(context.kind().as_str(), "identity.send_code");
        let mailed = crate::world::code_in(world.mailer.messages()[0].bytes());
        let payload = String::from_utf8(context.envelope().payload.to_vec()).unwrap();
        let challenge = world.db().sql("SELECT id FROM otp_challenges").one::<Uuid>().await.unwrap();
        assert_eq!(payload, format!(r#"{{"challenge":"{challenge}","locale":"en"}}"#));
        assert!(!payload.contains(&mailed));
        assert_eq!(context.envelope().user_id, Some(world.user_id("lan@x.io").await));
        assert_ne!(context.id(), JobId(challenge));
    }
}

#[tokio::test]
async fn every_body_that_is_wrong_is_refused_before_any_work() {
    for world in worlds(|_| {}).await {
        for bad in
            ["", "lan", "lan@x", "lan@x.io, b@x.io", "lan@x.io\r\nBcc: e@e.io", " lan@x.io", "l\0n@x.io"]
        {
            assert_eq!(code(world.register(bad).await), 110_012, "{bad:?}");
            assert_eq!(code(world.send_otp(bad).await), 110_012, "{bad:?}");
            assert_eq!(code(world.verify(bad, "123456").await), 110_012, "{bad:?}");
            assert_eq!(
                code(world.service.login(bad, PASSWORD.into(), false, origin("en")).await),
                110_012,
                "{bad:?}"
            );
        }
        let long = "x".repeat(129);
        for bad in ["", "seven77", &long] {
            assert_eq!(
                code(world.service.register("lan@x.io", bad.into(), origin("en")).await),
                110_002,
                "{bad:?}"
            );
        }
        world.service.register("lan@x.io", "ü".repeat(128).into(), origin("en")).await.unwrap();
        assert_eq!(code(world.service.login("lan@x.io", long.into(), false, origin("en")).await), 110_002);
        for bad in ["", "12345", "1234567", "12345a", "１２３４５６", " 12345"] {
            assert_eq!(code(world.verify("lan@x.io", bad).await), 110_002, "{bad:?}");
        }
        assert_eq!(world.count("SELECT count(*) FROM users").await, 1);
    }
}

#[tokio::test]
async fn an_address_is_one_account_however_it_is_spelled_and_however_often_it_is_tried() {
    for world in worlds(|_| {}).await {
        let tries = ["Lan@x.io", "lan@x.io", "LAN@X.IO", "lan@X.io"].map(|email| {
            let service = world.service.clone();
            tokio::spawn(async move { service.register(email, PASSWORD.into(), origin("en")).await })
        });
        let mut made = 0;
        for attempt in tries {
            match attempt.await.unwrap() {
                Ok(()) => made += 1,
                refused => assert_eq!(code(refused), 110_004),
            }
        }
        assert!(made >= 1, "one that comes after another begins anew");
        world.member("lan@x.io").await;
        assert_eq!(code(world.register("lAn@x.io").await), 110_004);
        world.register("user@bücher.example").await.unwrap();
        world.register("User@xn--bcher-kva.example").await.unwrap();
        assert_eq!(world.count("SELECT count(*) FROM users").await, 2);
    }
}

#[tokio::test]
async fn wrong_credentials_are_told_apart_only_when_they_may_be() {
    for world in worlds(|_| {}).await {
        world.register("lan@x.io").await.unwrap();
        let wrong = || "wrong password".into();
        assert_eq!(code(world.service.login("lan@x.io", wrong(), false, origin("en")).await), 110_005);
        assert_eq!(code(world.service.login("nobody@x.io", wrong(), false, origin("en")).await), 110_003);
        assert_eq!(code(world.service.send_otp("lan@x.io", wrong(), origin("en")).await), 110_005);
        assert_eq!(code(world.send_otp("nobody@x.io").await), 110_003);
        assert_eq!(code(world.verify("nobody@x.io", "123456").await), 110_003);
    }
}

#[tokio::test]
async fn a_refusal_takes_no_less_than_the_floor_for_anybody() {
    let floor = Duration::from_millis(300);
    for world in worlds(|config| config.refusal_floor = floor).await {
        world.register("lan@x.io").await.unwrap();
        for email in ["lan@x.io", "nobody@x.io"] {
            let begun = Instant::now();
            code(world.service.login(email, "wrong password".into(), false, origin("en")).await);
            assert!(begun.elapsed() >= floor, "{email}: {:?}", begun.elapsed());
        }
    }
}

#[tokio::test]
async fn an_account_that_is_gone_opens_nothing() {
    for world in worlds(|_| {}).await {
        let caller = world.member("lan@x.io").await;
        let token = world.token("lan@x.io").await;
        let gone =
            world.db().sql("UPDATE users SET deleted_at = created_at WHERE id = $1").bind(caller.user_id);
        assert_eq!(gone.run().await.unwrap(), 1);
        assert_eq!(
            code(world.service.login("lan@x.io", PASSWORD.into(), false, origin("en")).await),
            110_003
        );
        assert_eq!(code(world.service.me(caller).await), 401);
        assert_eq!(code(world.caller(&token).await), 401);
    }
}
