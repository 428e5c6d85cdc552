//! Credentials: which mechanism, in what order, and what a refusal means.

use backshift_mail::{Class, Credentials, Mailer as _, SmtpOptions, SmtpTransport};

use crate::mails::{message, options};
use crate::server::{Act, At, Script, Server};

fn with_credentials(server: &Server) -> SmtpOptions {
    let mut options = options(server);
    options.credentials =
        Some(Credentials { username: "user".into(), password: "pässword".to_owned().into() });
    options
}

#[tokio::test]
async fn plain_is_preferred_and_login_works() {
    for (offers, lines) in [
        (&["AUTH LOGIN PLAIN"][..], &["AUTH PLAIN AHVzZXIAcMOkc3N3b3Jk"][..]),
        (&["AUTH=LOGIN"][..], &["AUTH LOGIN", "dXNlcg==", "cMOkc3N3b3Jk"][..]),
    ] {
        let server = Server::start(Script::default().offers(offers)).await;
        let transport = SmtpTransport::new(with_credentials(&server)).unwrap();
        assert!(transport.send(&message()).await.outcome.is_sent());
        assert_eq!(&server.commands()[1..=lines.len()], lines);
    }
}

#[tokio::test]
async fn refused_credentials_pause_the_transport() {
    for reply in
        ["535 5.7.8 bad credentials", "534 5.7.9 too weak", "530 5.7.0 no", "454 4.7.0 later", "500 what"]
    {
        let script = Script::default().offers(&["AUTH PLAIN"]).on(At::Auth, Act::Say(reply));
        let server = Server::start(script).await;
        let transport = SmtpTransport::new(with_credentials(&server)).unwrap();
        let report = transport.send(&message()).await;
        assert_eq!(
            (report.outcome.word(), report.outcome.failure().unwrap().class),
            ("pause", Class::Config),
            "{reply}"
        );
        assert_eq!(server.count("MAIL"), 0);
        // The next probe finds the server healthy again.
        let from = crate::mails::address("noreply@smap.example");
        assert_eq!(transport.probe(&from).await, Ok(()));
    }
}

#[tokio::test]
async fn no_mechanism_pauses_the_transport() {
    let server = Server::start(Script::default().offers(&["AUTH GSSAPI"])).await;
    let report = SmtpTransport::new(with_credentials(&server)).unwrap().send(&message()).await;
    assert_eq!(report.outcome.word(), "pause");
    assert_eq!(server.count("AUTH") + server.count("MAIL"), 0);
}
