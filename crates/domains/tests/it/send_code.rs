//! The mail with the code: languages, running twice, the exchange.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Broker, Clock, ConsumeOptions, JobContext, JobResult, QueueName, Registry, Timestamp, Verdict,
    broker::Occupied, wire,
};
use backshift_domains::{
    identity::{CodeKey, CodeRoute, CodeSender},
    mail,
};
use backshift_mail::{Templates, decode};
use backshift_testkit::memory::MemoryBroker;

use crate::world::{PASSWORD, World, code_in, origin, worlds};

async fn ordered(world: &World, locale: &str) -> JobContext {
    world.register("lan@x.io").await.unwrap();
    world.service.send_otp("lan@x.io", PASSWORD.into(), origin(locale)).await.unwrap();
    let mut jobs = world.run_queue().await;
    let (context, result) = jobs.pop().unwrap();
    result.unwrap();
    context
}

#[tokio::test]
async fn the_mail_speaks_the_request_s_language() {
    for (locale, subject) in
        [("en", "SMAP - OTP VERIFICATION"), ("vi", "SMAP - XÁC THỰC OTP"), ("xx", "SMAP - OTP VERIFICATION")]
    {
        for world in worlds(|_| {}).await {
            ordered(&world, locale).await;
            assert_eq!(world.mailer.messages()[0].subject(), subject);
        }
    }
    for world in worlds(|_| {}).await {
        ordered(&world, "ja").await;
        assert!(world.mailer.messages()[0].subject().chars().any(|c| c > '\u{3000}'));
    }
}

#[tokio::test]
async fn running_twice_mails_the_same_code_and_never_a_new_one() {
    for world in worlds(|_| {}).await {
        let context = ordered(&world, "en").await;
        world.run(&context).await.unwrap();
        let messages = world.mailer.messages();
        assert_eq!(messages.len(), 2, "this context has no ledger that would know of the first run");
        assert_eq!(code_in(messages[0].bytes()), code_in(messages[1].bytes()));
        assert_eq!(messages[0].message_id(), messages[1].message_id());
        assert_eq!(world.count("SELECT count(*) FROM otp_challenges").await, 1);
    }
}

#[tokio::test]
async fn a_code_that_is_over_is_not_mailed() {
    for world in worlds(|_| {}).await {
        let context = ordered(&world, "en").await;
        let code = code_in(world.mailer.messages()[0].bytes());
        world.later(61);
        world.send_otp("lan@x.io").await.unwrap();
        world.run(&context).await.unwrap();
        assert_eq!(world.mailer.messages().len(), 1, "replaced");
        assert!(context.said().note.unwrap().contains("replaced"));
        let (second, result) = world.run_queue().await.pop().unwrap();
        result.unwrap();
        assert_ne!(code, "", "the first mail had a code");
        world.later(600);
        world.run(&second).await.unwrap();
        assert_eq!(world.mailer.messages().len(), 2, "expired");
        world.send_otp("lan@x.io").await.unwrap();
        let fresh = world.mailed_code().await;
        world.verify("lan@x.io", &fresh).await.unwrap();
        assert_eq!(world.mailer.messages().len(), 3);
    }
}

async fn published(world: &World, broker: &MemoryBroker, context: &JobContext) -> JobResult {
    let sender = CodeSender::new(
        world.db().clone(),
        CodeKey::from_secret(&"a key".into()),
        Arc::new(Templates::shipped()),
        CodeRoute::SystemC(Arc::new(broker.clone())),
        backshift_core::JobOptions::default(),
    );
    let registry = sender.with_clock(Arc::new(world.clock.clone())).register(Registry::default());
    registry.handle(context.clone()).unwrap().await
}

#[tokio::test]
async fn the_exchange_gets_c_s_body_marked_as_sensitive_and_short_lived() {
    for world in worlds(|_| {}).await {
        let context = ordered(&world, "en").await;
        let broker = MemoryBroker::new();
        world.later(100);
        published(&world, &broker, &context).await.unwrap();
        published(&world, &broker, &context).await.unwrap();
        let queue: QueueName = mail::QUEUE_OF_SYSTEM_C.parse().unwrap();
        let (worker, occupied) = ("reader".parse().unwrap(), Occupied::default());
        let lease = Duration::from_secs(15);
        let options = ConsumeOptions { slots: 2, kinds: None, lease, worker, occupied };
        let mut consumer = broker.consume(&queue, options).await.unwrap();
        let taken = consumer.next(2).await.unwrap();
        let [first, second] = &taken[..] else { panic!("published twice") };
        let (first, second) = (first.job.as_ref().unwrap(), second.job.as_ref().unwrap());
        assert_eq!(first.id, second.id, "the same message id on every attempt");
        assert_ne!(first.id, context.id());
        assert_eq!((first.kind.as_str(), first.attempt), (mail::KIND, 1));
        assert_eq!(first.headers["backshift-sensitive"], "true");
        let end: Timestamp = first.headers[wire::EXPIRES_AT].parse().unwrap();
        let left = end.duration_since(world.clock.now()).as_secs();
        assert!((496..=500).contains(&left), "{left} s of the code's ten minutes");
        assert!(first.payload.starts_with(b"{\"Subject\":"), "PascalCase");
        let email = decode(&first.payload).unwrap();
        assert_eq!(email.recipient.to_string(), "lan@x.io");
        let code = code_in(world.mailer.messages()[0].bytes());
        assert!(email.body.contains(&code));
        assert!(!format!("{first:?}").contains(&code), "a code is never shown");
    }
}

#[tokio::test]
async fn a_broker_that_is_away_is_tried_again_and_burns_no_attempt() {
    for world in worlds(|_| {}).await {
        let context = ordered(&world, "en").await;
        let broker = MemoryBroker::new();
        broker.faults().away();
        let error = published(&world, &broker, &context).await.unwrap_err();
        assert!(matches!(error.verdict(), Verdict::Snooze(_)), "{error}");
    }
}
