//! Connections kept, replaced, given up and slowed down.

use std::time::Duration;

use backshift_mail::{Mailer as _, Outcome, SmtpTransport};

use crate::mails::{message, options};
use crate::server::{Act, At, Script, Server};

#[tokio::test]
async fn one_connection_carries_many_mails() {
    let server = Server::start(Script::default()).await;
    let transport = SmtpTransport::new(options(&server)).unwrap();
    for _ in 0..20 {
        assert!(transport.send(&message()).await.outcome.is_sent());
    }
    assert_eq!((server.connections(), server.mails().len()), (1, 20));
    transport.close().await;
    assert_eq!(server.count("QUIT"), 1);
    assert_eq!(transport.send(&message()).await.outcome.word(), "retry");
}

#[tokio::test]
async fn a_connection_is_replaced_after_its_share() {
    let server = Server::start(Script::default()).await;
    let mut options = options(&server);
    options.max_messages = 4;
    let transport = SmtpTransport::new(options).unwrap();
    for _ in 0..10 {
        assert!(transport.send(&message()).await.outcome.is_sent());
    }
    assert_eq!(server.connections(), 3);
    server
        .until("QUIT on both used ones", |seen| seen.commands.iter().filter(|c| *c == "QUIT").count() == 2)
        .await;
}

#[tokio::test]
async fn no_more_connections_than_allowed() {
    let server = Server::start(Script::default()).await;
    let mut options = options(&server);
    options.max_connections = 3;
    let transport = SmtpTransport::new(options).unwrap();
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let transport = transport.clone();
        sends.spawn(async move { transport.send(&message()).await.outcome.is_sent() });
    }
    assert!(sends.join_all().await.into_iter().all(|sent| sent));
    assert!(server.seen.lock().unwrap().most_open <= 3);
    assert_eq!(server.mails().len(), 60);
}

#[tokio::test]
async fn a_connection_that_died_idle_is_replaced_unseen() {
    for act in [Act::Cut, Act::SayAndCut("421 4.4.2 idle too long")] {
        // The first mail uses the normal answer; the second MAIL on the same connection meets the act.
        let script = Script::default().on(At::Mail, Act::Say("250 ok")).on(At::Mail, act.clone());
        let server = Server::start(script).await;
        let transport = SmtpTransport::new(options(&server)).unwrap();
        for _ in 0..2 {
            let report = transport.send(&message()).await;
            assert!(report.outcome.is_sent(), "{act:?}: {report:?}");
        }
        assert_eq!((server.connections(), server.mails().len()), (2, 2));
        assert_eq!(transport.width(), 10, "a 421 about an idle connection slows nothing");
    }
}

#[tokio::test]
async fn a_connection_closed_by_the_server_while_idle_is_noticed() {
    let script = Script::default().on(At::Final, Act::SayAndCut("250 ok"));
    let server = Server::start(script).await;
    let transport = SmtpTransport::new(options(&server)).unwrap();
    assert!(transport.send(&message()).await.outcome.is_sent());
    server.until("the server has closed", |seen| seen.open == 0).await;
    assert!(transport.send(&message()).await.outcome.is_sent());
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_fresh_connection_that_dies_is_a_retry_and_not_a_loop() {
    let script = Script::default().on(At::Mail, Act::Cut).on(At::Mail, Act::Cut).on(At::Mail, Act::Cut);
    let server = Server::start(script).await;
    let transport = SmtpTransport::new(options(&server)).unwrap();
    assert_eq!(transport.send(&message()).await.outcome.word(), "retry");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn nothing_is_repeated_once_mail_was_answered() {
    let script = Script::default().on(At::Rcpt, Act::Say("250 ok")).on(At::Rcpt, Act::Cut);
    let server = Server::start(script).await;
    let transport = SmtpTransport::new(options(&server)).unwrap();
    assert!(transport.send(&message()).await.outcome.is_sent());
    assert_eq!(transport.send(&message()).await.outcome.word(), "retry");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_refusal_keeps_the_connection() {
    for offers in [&["PIPELINING"][..], &[][..]] {
        let script = Script::default()
            .offers(offers)
            .on(At::Mail, Act::Say("451 4.3.0 later"))
            .on(At::Data, Act::Say("503 no MAIL"));
        // Without pipelining DATA is not asked for after a refused MAIL, so its act waits for the second mail.
        let script = if offers.is_empty() {
            Script::default().offers(offers).on(At::Mail, Act::Say("451 later"))
        } else {
            script
        };
        let server = Server::start(script).await;
        let transport = SmtpTransport::new(options(&server)).unwrap();
        assert_eq!(transport.send(&message()).await.outcome.word(), "retry");
        assert!(transport.send(&message()).await.outcome.is_sent(), "{offers:?}");
        assert_eq!((server.connections(), server.count("RSET")), (1, 1), "{offers:?}");
    }
}

#[tokio::test]
async fn a_421_closes_the_connection_and_slows_the_pool() {
    let server = Server::start(Script::default().on(At::Rcpt, Act::Say("421 4.7.0 too fast"))).await;
    let transport = SmtpTransport::new(options(&server)).unwrap();
    let report = transport.send(&message()).await;
    assert!(matches!(report.outcome, Outcome::Retry { throttled: true, .. }), "{report:?}");
    assert_eq!(transport.width(), 5);
    server.until("the connection closed", |seen| seen.open == 0).await;
    for _ in 0..20 {
        assert!(transport.send(&message()).await.outcome.is_sent());
    }
    assert_eq!(transport.width(), 6);
}

#[tokio::test]
async fn idle_connections_say_goodbye() {
    let server = Server::start(Script::default()).await;
    let mut options = options(&server);
    options.idle_timeout = Duration::from_millis(50);
    let transport = SmtpTransport::new(options).unwrap();
    for round in 1..=2 {
        assert!(transport.send(&message()).await.outcome.is_sent());
        server.until("QUIT", |seen| seen.commands.iter().filter(|c| *c == "QUIT").count() == round).await;
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_cancelled_send_frees_its_slot() {
    let server = Server::start(Script::default().on(At::Final, Act::Silent)).await;
    let mut options = options(&server);
    options.max_connections = 1;
    let transport = SmtpTransport::new(options).unwrap();
    let hanging = tokio::spawn({
        let transport = transport.clone();
        async move { transport.send(&message()).await }
    });
    server.until("the dot", |seen| seen.commands.iter().any(|c| c == ".")).await;
    hanging.abort();
    assert!(transport.send(&message()).await.outcome.is_sent());
}
