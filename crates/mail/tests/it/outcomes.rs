//! docs/contracts/system-c.md, "Mail outcome": every row, over a real connection.

use std::time::Duration;

use backshift_mail::{Class, Mailer as _, Outcome, SendReport, SmtpTransport, Stage};
use backshift_testkit::{
    pace,
    wait::{self, PATIENCE},
};

use crate::mails::{address, message, options, with_copies};
use crate::server::{Act, At, Script, Server};

async fn send(script: Script) -> (SendReport, Server) {
    let silent = script.acts.values().flatten().any(|act| matches!(act, Act::Silent));
    let server = Server::start(script).await;
    let mut options = options(&server);
    // Of a server that answers even a busy machine is sure.
    let limit = pace::stretched(if silent { Duration::from_millis(400) } else { Duration::from_secs(10) });
    options.command_timeout = limit;
    options.final_timeout = limit;
    let report = SmtpTransport::new(options).unwrap().send(&message()).await;
    (report, server)
}

/// Both ways of speaking must come to the same.
async fn both(script: Script, check: impl Fn(&SendReport, &Server)) {
    let (report, server) = send(script.clone()).await;
    check(&report, &server);
    let (report, server) = send(script.offers(&["SIZE"])).await;
    check(&report, &server);
}

#[tokio::test]
async fn accepted_is_sent() {
    both(Script::default(), |report, server| {
        let Outcome::Sent { reply, refused_cc } = &report.outcome else { panic!("{report:?}") };
        assert_eq!((reply.as_str(), refused_cc.len()), ("queued as 1", 0));
        assert_eq!(report.recipients.len(), 1);
        let mails = server.mails();
        assert_eq!(
            (mails[0].from.as_str(), mails[0].to.as_slice()),
            ("noreply@smap.example", &["lan@x.io".to_owned()][..])
        );
        assert_eq!(mails[0].data, message().bytes());
    })
    .await;
}

#[tokio::test]
async fn replies_become_outcomes() {
    use At::{Data, Ehlo, Final, Greeting, Mail, Rcpt};
    for (at, reply, word, class, suppresses) in [
        (Greeting, "421 busy", "retry", Class::Throttled, false),
        (Greeting, "554 go away", "pause", Class::Config, false),
        (Ehlo, "421 busy", "retry", Class::Throttled, false),
        (Mail, "421 4.3.2 shutting down", "retry", Class::Throttled, false),
        (Mail, "451 4.3.0 later", "retry", Class::Transient, false),
        (Mail, "530 5.7.0 STARTTLS first", "pause", Class::Config, false),
        (Mail, "550 5.7.1 not you", "pause", Class::Sender, false),
        (Rcpt, "421 4.7.0 slow down", "retry", Class::Throttled, false),
        (Rcpt, "450 4.2.0 greylisted", "retry", Class::Transient, false),
        (Rcpt, "451 local error", "retry", Class::Transient, false),
        (Rcpt, "452 4.3.1 no space", "retry", Class::Transient, false),
        (Rcpt, "550 5.1.1 no such user", "permanent", Class::InvalidRecipient, true),
        (Rcpt, "550 no such user", "permanent", Class::InvalidRecipient, true),
        (Rcpt, "550 5.7.1 policy", "permanent", Class::Policy, false),
        (Rcpt, "552 5.2.2 full", "retry", Class::Quota, false),
        (Data, "451 later", "retry", Class::Transient, false),
        (Data, "554 5.7.1 no", "permanent", Class::Policy, false),
        (Final, "421 closing", "retry", Class::Throttled, false),
        (Final, "450 later", "retry", Class::Transient, false),
        (Final, "552 5.3.4 too big", "permanent", Class::Message, false),
        (Final, "554 5.6.0 content", "permanent", Class::Message, false),
    ] {
        both(Script::default().on(at, Act::Say(reply)), |report, server| {
            let outcome = &report.outcome;
            assert_eq!(outcome.word(), word, "{reply} at {at:?}: {report:?}");
            assert_eq!(outcome.failure().unwrap().class, class, "{reply} at {at:?}");
            let suppressed = matches!(outcome, Outcome::Permanent { suppress: true, .. });
            assert_eq!(suppressed, suppresses, "{reply} at {at:?}");
            assert_eq!(server.mails(), []);
        })
        .await;
    }
}

#[tokio::test]
async fn cut_before_the_final_dot_is_a_retry() {
    use At::{Body, Data, Ehlo, Greeting, Mail, Rcpt};
    for at in [Greeting, Ehlo, Mail, Rcpt, Data, Body] {
        both(Script::default().on(at, Act::Cut), |report, server| {
            // A small mail and its dot leave together, so a cut inside the body is seen after the dot has left.
            if at == Body {
                assert_eq!(report.outcome.word(), "ambiguous", "{report:?}");
            } else {
                assert_eq!(report.outcome.word(), "retry", "{at:?}: {report:?}");
            }
            assert_eq!(server.mails(), []);
        })
        .await;
    }
}

#[tokio::test]
async fn cut_inside_a_big_body_is_a_retry() {
    let server = Server::start(Script::default().on(At::Body, Act::Cut)).await;
    let mut email = crate::mails::email("lan@x.io");
    // Far more than the sockets' buffers take, so that the dot cannot have left.
    email.body = "<p>line</p>\n".repeat(1_000_000);
    email.text = Some("t".into());
    let report = SmtpTransport::new(options(&server)).unwrap().send(&crate::mails::compose(&email)).await;
    assert_eq!(report.outcome.word(), "retry", "{report:?}");
    assert_eq!(report.outcome.failure().unwrap().stage, Stage::Data);
}

#[tokio::test]
async fn lost_after_the_final_dot_is_ambiguous() {
    for act in
        [Act::Cut, Act::Silent, Act::Say("garbage"), Act::SayAndCut("250-almost"), Act::Say("354 what?")]
    {
        both(Script::default().on(At::Final, act.clone()), |report, server| {
            assert_eq!(report.outcome.word(), "ambiguous", "{act:?}: {report:?}");
            assert_eq!(report.outcome.failure().unwrap().stage, Stage::Final);
            assert!(server.commands().contains(&".".to_owned()));
        })
        .await;
    }
}

#[tokio::test]
async fn a_silent_server_is_a_retry() {
    use At::{Data, Ehlo, Greeting, Mail, Rcpt};
    for at in [Greeting, Ehlo, Mail, Rcpt, Data] {
        both(Script::default().on(at, Act::Silent), |report, _| {
            assert_eq!(report.outcome.word(), "retry", "{at:?}: {report:?}");
            assert_eq!(report.outcome.failure().unwrap().class, Class::Timeout);
        })
        .await;
    }
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let slow = Duration::from_millis(150);
    let script = Script::default()
        .on(At::Greeting, Act::Slow(slow, "220 hi"))
        .on(At::Rcpt, Act::Slow(slow, "250 ok"))
        .on(At::Final, Act::Slow(slow, "250 ok"));
    let (report, _) = send(script).await;
    assert!(report.outcome.is_sent(), "{report:?}");
}

#[tokio::test]
async fn nobody_listening_is_a_retry() {
    let server = Server::start(Script::default()).await;
    let options = options(&server);
    drop(server);
    let transport = SmtpTransport::new(options).unwrap();
    // The listener closes when its task has been dropped.
    let closed = wait::until(PATIENCE, || async { !transport.send(&message()).await.outcome.is_sent() });
    assert!(closed.await, "somebody still listens");
    let last = transport.send(&message()).await;
    assert_eq!(last.outcome.word(), "retry");
    assert_eq!(last.outcome.failure().unwrap().class, Class::Network);
}

#[tokio::test]
async fn a_refused_copy_does_not_stop_the_others() {
    for offers in [&["PIPELINING"][..], &[][..]] {
        let script = Script::default()
            .offers(offers)
            .refuses("bad@x.io", "550 5.1.1 no such user")
            .refuses("late@x.io", "450 later");
        let server = Server::start(script).await;
        let message = with_copies(&["bad@x.io", "late@x.io", "good@x.io"]);
        let report = SmtpTransport::new(options(&server)).unwrap().send(&message).await;
        let Outcome::Sent { refused_cc, .. } = &report.outcome else { panic!("{report:?}") };
        assert_eq!(refused_cc[0].address, address("bad@x.io"));
        assert!(refused_cc[0].suppress && !refused_cc[1].suppress);
        assert_eq!(refused_cc.len(), 2);
        let refused: Vec<_> = report.recipients.iter().map(|r| r.refused.is_some()).collect();
        assert_eq!(refused, [false, true, true, false]);
        assert_eq!(server.mails()[0].to, ["lan@x.io", "good@x.io"]);
    }
}

#[tokio::test]
async fn a_refused_recipient_stops_everything() {
    for offers in [&["PIPELINING"][..], &[][..]] {
        let script = Script::default().offers(offers).refuses("lan@x.io", "550 5.1.1 <lan@x.io> unknown");
        let server = Server::start(script).await;
        let transport = SmtpTransport::new(options(&server)).unwrap();
        let report = transport.send(&with_copies(&["good@x.io"])).await;
        assert!(matches!(report.outcome, Outcome::Permanent { suppress: true, .. }), "{report:?}");
        assert!(!report.outcome.to_string().contains("lan@x.io"), "masked: {}", report.outcome);
        assert_eq!((server.mails().len(), server.count(".")), (0, 0));
        assert_eq!(server.count("RSET"), 1);
    }
}

#[tokio::test]
async fn pipelined_data_is_never_dotted_for_a_refused_recipient() {
    let server = Server::start(Script::default().refuses("lan@x.io", "550 5.1.1 unknown")).await;
    let transport = SmtpTransport::new(options(&server)).unwrap();
    let report = transport.send(&message()).await;
    assert_eq!(report.outcome.word(), "permanent");
    server.until("the connection closed", |seen| seen.open == 0).await;
    assert_eq!((server.count("DATA"), server.count(".")), (1, 0));
    let wire = String::from_utf8_lossy(&server.seen.lock().unwrap().bytes_in_clear).into_owned();
    assert!(wire.ends_with("DATA\r\n"), "nothing may follow into the body: {wire}");
    assert_eq!(server.mails(), []);
}

#[tokio::test]
async fn a_probe_sends_nothing_and_says_what_is_wrong() {
    let from = address("noreply@smap.example");
    let server = Server::start(Script::default().on(At::Mail, Act::Say("550 5.7.1 not you"))).await;
    let transport = SmtpTransport::new(options(&server)).unwrap();
    assert_eq!(transport.probe(&from).await.unwrap_err().word(), "pause");
    assert_eq!(transport.probe(&from).await, Ok(()));
    assert_eq!((server.count("RCPT"), server.mails().len()), (0, 0));
}
