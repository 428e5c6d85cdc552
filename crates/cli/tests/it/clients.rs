//! Many clients at once, and clients that ask too often.

use futures::future::join_all;

use crate::scene::{Answer, SystemC};

const PASSWORD: &str = "correct horse battery";

fn count(answers: &[Answer], code: u64) -> usize {
    answers.iter().filter(|answer| answer.code() == code).count()
}

#[tokio::test]
async fn parallel_requests_never_pass_together() {
    let Some(system) = SystemC::new().await else { return };
    let (_worker, api) = (system.worker().await, system.api().await);
    let other = system.api().await;
    let email = "race@example.com";
    let door = |n: usize| if n.is_multiple_of(2) { &api } else { &other };
    let registered = join_all((0..8).map(|n| door(n).register(email, PASSWORD))).await;
    assert_eq!(count(&registered, 0) + count(&registered, 110_004), 8, "{registered:?}");
    assert!(count(&registered, 0) >= 1, "one that comes after another begins anew: {registered:?}");
    assert_eq!(system.rows("SELECT 1 FROM users", &[]).await.len(), 1, "one account");
    let asked = join_all((0..8).map(|n| door(n).send_otp(email, PASSWORD))).await;
    assert_eq!((count(&asked, 0), count(&asked, 110_009)), (1, 7), "{asked:?}");
    let code = system.smtp.wait_for(email, 1).await[0].code();
    let wrong = if code == "121212" { "121213" } else { "121212" };
    let guessed = join_all((0..4).map(|n| door(n).verify(email, wrong))).await;
    assert_eq!(count(&guessed, 110_006), 4, "{guessed:?}");
    let entered = join_all((0..8).map(|n| door(n).verify(email, &code))).await;
    assert_eq!(count(&entered, 0), 1, "one try was left and one succeeded: {entered:?}");
    assert_eq!(system.rows("SELECT 1 FROM subscriptions", &[]).await.len(), 1, "one trial");
    assert_eq!(system.smtp.mails().len(), 1, "one mail");
}

#[tokio::test]
async fn parallel_guesses_share_the_five_tries() {
    let Some(system) = SystemC::new().await else { return };
    let (_worker, api) = (system.worker().await, system.api().await);
    let email = "guess@example.com";
    api.register(email, PASSWORD).await;
    api.send_otp(email, PASSWORD).await;
    let code = system.smtp.wait_for(email, 1).await[0].code();
    let wrong = if code == "121212" { "121213" } else { "121212" };
    let guessed = join_all((0..20).map(|_| api.verify(email, wrong))).await;
    assert_eq!((count(&guessed, 110_006), count(&guessed, 110_009)), (5, 15), "{guessed:?}");
    assert_eq!(api.verify(email, &code).await.code(), 110_009);
}

#[tokio::test]
async fn one_address_gets_five_codes_an_hour() {
    let Some(system) = SystemC::new().await else { return };
    let api = system.api().await;
    let email = "often@example.com";
    api.register(email, PASSWORD).await;
    for _ in 0..5 {
        assert_eq!(api.send_otp(email, PASSWORD).await.code(), 0);
        system.execute("UPDATE otp_sends SET at = at - interval '61 seconds'").await;
    }
    let sixth = api.send_otp(email, PASSWORD).await;
    assert_eq!((sixth.status, sixth.code()), (429, 110_009));
    let wait: u32 = sixth.header("retry-after").unwrap().parse().unwrap();
    assert!((3200..=3600).contains(&wait), "until the oldest of the hour is over: {wait}");
    system.execute("UPDATE otp_sends SET at = at - interval '1 hour'").await;
    assert_eq!(api.send_otp(email, PASSWORD).await.code(), 0);
}

#[tokio::test]
async fn one_client_gets_so_many_codes_an_hour() {
    let Some(mut system) = SystemC::new().await else { return };
    system.set(&[("BACKSHIFT_OTP_MAX_PER_HOUR_IP", "3")]);
    let api = system.api().await;
    for n in 0..4 {
        let email = format!("client{n}@example.com");
        api.register(&email, PASSWORD).await;
        let answer = api.send_otp(&email, PASSWORD).await;
        let expected = if n < 3 { (200, 0) } else { (429, 110_009) };
        assert_eq!((answer.status, answer.code()), expected, "{n}: loopback is exempt in dev only");
    }
}
