//! Servers that are away: accepted work waits, processes stay alive, and everything goes on by itself.

use backshift_testkit::wait;

use crate::scene::{Api, PATIENCE, Proxy, SystemC, Worker};

#[tokio::test]
async fn a_code_that_is_asked_for_while_the_broker_is_away_comes_later() {
    let Some(system) = SystemC::new().await else { return };
    let _worker = system.worker().await;
    let proxy = Proxy::start(system.vhost.url(), false).await;
    let through = system.settings.with(&[("RABBITMQ_URL", &proxy.url(system.vhost.url()))]);
    let api = Api::ready(&through).await;
    let page = api.page("/readyz").await;
    assert_eq!((page.status, page.json()["status"].as_str()), (200, Some("degraded")), "{page:?}");
    assert!(page.body.contains("broker"), "{page:?}");
    assert_eq!(api.register("wait@example.com", "correct horse").await.code(), 0);
    let sent = api.send_otp("wait@example.com", "correct horse").await;
    assert_eq!((sent.status, sent.code()), (200, 0), "{sent:?}");
    assert!(system.smtp.mails().is_empty());
    proxy.switch_on();
    let mail = system.smtp.wait_for("wait@example.com", 1).await.remove(0);
    assert_eq!(api.verify("wait@example.com", &mail.code()).await.code(), 0);
    let healthy = wait::until(PATIENCE, || async { api.page("/readyz").await.json()["status"] == "ready" });
    assert!(healthy.await, "{:?}", api.page("/readyz").await);

    proxy.switch_off();
    assert_eq!(api.register("again@example.com", "correct horse").await.code(), 0);
    assert_eq!(api.send_otp("again@example.com", "correct horse").await.status, 200);
    proxy.switch_on();
    system.smtp.wait_for("again@example.com", 1).await;
}

#[tokio::test]
async fn a_worker_consumes_again_after_the_broker_was_away() {
    let Some(system) = SystemC::new().await else { return };
    let proxy = Proxy::start(system.vhost.url(), true).await;
    let through = system.settings.with(&[("RABBITMQ_URL", &proxy.url(system.vhost.url()))]);
    let worker = Worker::ready(&["worker"], &through).await;
    system.vhost.publish_mail("before@example.com", "before").await;
    system.smtp.wait_for("before@example.com", 1).await;
    for round in 0..2 {
        proxy.switch_off();
        system.vhost.publish_mail(&format!("round{round}@example.com"), "during").await;
        worker.answers(503, &[]).await;
        assert_eq!(worker.get("/healthz").await.unwrap().status, 200);
        proxy.switch_on();
        system.smtp.wait_for(&format!("round{round}@example.com"), 1).await;
        worker.answers(200, &[]).await;
    }
    assert_eq!(system.smtp.mails().len(), 3);
    assert_eq!(worker.drained().await, Some(0));
}

#[tokio::test]
async fn a_worker_waits_for_servers_that_are_away_at_its_start() {
    let Some(system) = SystemC::new().await else { return };
    let broker = Proxy::start(system.vhost.url(), false).await;
    let database = Proxy::start(&system.database.url(), false).await;
    let away = [
        ("RABBITMQ_URL", broker.url(system.vhost.url())),
        ("DATABASE_URL", database.url(&system.database.url())),
    ];
    let away: Vec<(&str, &str)> = away.iter().map(|(name, url)| (*name, url.as_str())).collect();
    let worker = Worker::start(&["worker"], &system.settings.with(&away));
    worker.answers(503, &[]).await;
    let logged = wait::until(PATIENCE, || async { worker.log().iter().any(|line| line["level"] == "error") });
    assert!(logged.await, "each failure is logged");
    database.switch_on();
    broker.switch_on();
    worker.answers(200, &[]).await;
    system.vhost.publish_mail("now@example.com", "now").await;
    system.smtp.wait_for("now@example.com", 1).await;
}

#[tokio::test]
async fn a_drained_worker_ends_with_0_also_when_the_servers_are_away() {
    let Some(system) = SystemC::new().await else { return };
    let broker = Proxy::start(system.vhost.url(), true).await;
    let database = Proxy::start(&system.database.url(), true).await;
    let through = [
        ("RABBITMQ_URL", broker.url(system.vhost.url())),
        ("DATABASE_URL", database.url(&system.database.url())),
    ];
    let through: Vec<(&str, &str)> = through.iter().map(|(name, url)| (*name, url.as_str())).collect();
    let worker = Worker::ready(&["worker"], &system.settings.with(&through)).await;
    broker.switch_off();
    database.switch_off();
    worker.answers(503, &[]).await;
    assert_eq!(worker.drained().await, Some(0));
}

#[tokio::test]
async fn mails_wait_while_the_database_is_away() {
    let Some(system) = SystemC::new().await else { return };
    let database = Proxy::start(&system.database.url(), true).await;
    let through = system.settings.with(&[("DATABASE_URL", &database.url(&system.database.url()))]);
    let worker = Worker::ready(&["worker"], &through).await;
    let api = Api::ready(&through).await;
    system.vhost.publish_mail("before@example.com", "before").await;
    system.smtp.wait_for("before@example.com", 1).await;
    database.switch_off();
    worker.answers(503, &[]).await;
    let page = api.page("/readyz").await;
    assert_eq!(page.status, 503);
    let check = page.json()["checks"][0].clone();
    assert_eq!((&check["name"], &check["state"]), (&"database".into(), &"down".into()), "{page:?}");
    assert!(check.get("detail").is_none(), "a public port names no host and no role: {page:?}");
    let failed = api.login("nobody@example.com", "correct horse").await;
    assert_eq!(failed.body, r#"{"error_code":500,"message":"Something went wrong"}"#);
    for n in 0..5 {
        system.vhost.publish_mail(&format!("wait{n}@example.com"), "during").await;
    }
    database.switch_on();
    for n in 0..5 {
        system.smtp.wait_for(&format!("wait{n}@example.com"), 1).await;
    }
    worker.answers(200, &[]).await;
    system.vhost.wait_settled("smtp_send_email").await;
    assert_eq!(system.smtp.mails().len(), 6, "each once");
    assert_eq!(system.vhost.depth("smtp_send_email.dlq").await.unwrap_or(0), 0);
}
