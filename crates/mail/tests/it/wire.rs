//! What crosses the wire: dots, pipelining, sizes, and answers beyond all bounds.

use backshift_mail::{Class, Envelope, Mailer as _, Message, SmtpTransport};

use crate::mails::{address, compose, email, message, options};
use crate::server::{Act, At, Script, Server};

fn raw(bytes: &[u8]) -> Message {
    let envelope = Envelope { from: address("a@x.io"), to: address("b@x.io"), cc: vec![] };
    Message::from_parts(envelope, "<1@x.io>", bytes)
}

#[tokio::test]
async fn bodies_arrive_as_they_are_and_smuggle_nothing() {
    let server = Server::start(Script::default()).await;
    let transport = SmtpTransport::new(options(&server)).unwrap();
    let bodies: [(&[u8], &[u8]); 4] = [
        (b"S: 1\r\n\r\nx\r\n.\r\nMAIL FROM:<e@e.io>\r\n", b"S: 1\r\n\r\nx\r\n.\r\nMAIL FROM:<e@e.io>\r\n"),
        (b"S: 2\n\nx\n.\nMAIL FROM:<e@e.io>", b"S: 2\r\n\r\nx\r\n.\r\nMAIL FROM:<e@e.io>\r\n"),
        (b"S: 3\r\n\r\nx\r\n.\rRCPT TO:<e@e.io>\r\n", b"S: 3\r\n\r\nx\r\n.\r\nRCPT TO:<e@e.io>\r\n"),
        (b".\r\n..\r\n...", b".\r\n..\r\n...\r\n"),
    ];
    for (sent, _) in bodies {
        assert!(transport.send(&raw(sent)).await.outcome.is_sent());
    }
    let mails = server.mails();
    assert_eq!(mails.len(), 4);
    for (mail, (_, want)) in mails.iter().zip(bodies) {
        assert_eq!(mail.data, want);
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_big_mail_arrives_whole() {
    let server = Server::start(Script::default()).await;
    let mut big = email("lan@x.io");
    big.attachments.push(backshift_mail::Attachment {
        filename: "noise.bin".into(),
        content_type: String::new(),
        data: (0..5_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
    });
    let message = compose(&big);
    assert!(SmtpTransport::new(options(&server)).unwrap().send(&message).await.outcome.is_sent());
    assert!(server.mails()[0].data == message.bytes());
}

#[tokio::test]
async fn pipelining_is_used_only_where_offered() {
    for (offers, reads) in [(&["PIPELINING"][..], 3), (&[][..], 5)] {
        let server = Server::start(Script::default().offers(offers)).await;
        let transport = SmtpTransport::new(options(&server)).unwrap();
        assert!(transport.send(&message()).await.outcome.is_sent());
        // EHLO, then MAIL+RCPT+DATA together or apart, then the body with its dot.
        assert_eq!(server.seen.lock().unwrap().reads, reads, "{offers:?}");
    }
}

#[tokio::test]
async fn too_big_for_the_server_is_not_even_tried() {
    let server = Server::start(Script::default().offers(&["PIPELINING", "SIZE 100"])).await;
    let report = SmtpTransport::new(options(&server)).unwrap().send(&message()).await;
    assert_eq!(
        (report.outcome.word(), report.outcome.failure().unwrap().class),
        ("permanent", Class::Message)
    );
    assert_eq!(server.count("MAIL"), 0);
}

#[tokio::test]
async fn size_and_8bitmime_are_declared() {
    let server = Server::start(Script::default()).await;
    let transport = SmtpTransport::new(options(&server)).unwrap();
    let message = raw("Subject: x\r\n\r\nnội dung\r\n".as_bytes());
    assert!(transport.send(&message).await.outcome.is_sent());
    let want = format!("MAIL FROM:<a@x.io> SIZE={} BODY=8BITMIME", message.bytes().len());
    assert!(server.commands().contains(&want), "{:?}", server.commands());

    let old = Server::start(Script::default().offers(&[])).await;
    let transport = SmtpTransport::new(options(&old)).unwrap();
    assert_eq!(transport.send(&message).await.outcome.word(), "permanent");
    assert!(transport.send(&crate::mails::message()).await.outcome.is_sent());
    assert!(old.commands().contains(&"MAIL FROM:<noreply@smap.example>".to_owned()));
}

#[tokio::test]
async fn answers_beyond_all_bounds_end_the_connection() {
    for act in [
        Act::Flood("250-still going on and on\r\n", 500_000),
        Act::Flood("250-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 300_000),
        Act::Say("25"),
        Act::Say("hello there"),
        Act::Say("250-a\r\n251 b"),
    ] {
        let server = Server::start(Script::default().on(At::Mail, act.clone())).await;
        let report = SmtpTransport::new(options(&server)).unwrap().send(&message()).await;
        assert_eq!(report.outcome.word(), "retry", "{act:?}: {report:?}");
        assert_eq!(report.outcome.failure().unwrap().class, Class::Protocol, "{act:?}");
        server.until("the connection closed", |seen| seen.open == 0).await;
    }
}

#[tokio::test]
async fn many_lines_and_late_enhanced_codes_are_read() {
    let script =
        Script::default().on(At::Rcpt, Act::Say("550-We are sorry\r\n550-really\r\n550 5.7.1 blocked"));
    let server = Server::start(script).await;
    let report = SmtpTransport::new(options(&server)).unwrap().send(&message()).await;
    let failure = report.outcome.failure().unwrap();
    assert_eq!((failure.class, failure.text.as_str()), (Class::Policy, "We are sorry really blocked"));
}

#[tokio::test]
async fn an_old_server_is_greeted_with_helo() {
    let server = Server::start(Script::default().on(At::Ehlo, Act::Say("502 what"))).await;
    let report = SmtpTransport::new(options(&server)).unwrap().send(&message()).await;
    // The scripted server does not know HELO either: the point is that it was tried.
    assert_eq!(server.count("HELO"), 1);
    assert_eq!(report.outcome.word(), "pause");
}
