//! Postfix's smtp-sink, a server that we did not write: `BACKSHIFT_TEST_SMTP_SINK=host:port`.
//!
//! Without the variable the tests say so and pass, unless `BACKSHIFT_REQUIRE` is `all` or names `smtp-sink`.

use backshift_mail::{Mailer as _, SmtpOptions, SmtpTransport, TlsMode};

use crate::mails::{address, message, with_copies};

fn sink() -> Option<SmtpOptions> {
    match std::env::var("BACKSHIFT_TEST_SMTP_SINK") {
        Ok(place) => {
            let place = place.trim_start_matches("smtp://").to_owned();
            let (host, port) = place.rsplit_once(':').expect("BACKSHIFT_TEST_SMTP_SINK is host:port");
            let mut options = SmtpOptions::new(host, port.parse().expect("a port"));
            options.tls = TlsMode::None;
            Some(options)
        }
        Err(_) => {
            let required = std::env::var("BACKSHIFT_REQUIRE").unwrap_or_default();
            let named = required.split(',').any(|word| matches!(word.trim(), "all" | "smtp-sink"));
            assert!(!named, "BACKSHIFT_REQUIRE wants smtp-sink: set BACKSHIFT_TEST_SMTP_SINK=host:port");
            eprintln!("skipped: BACKSHIFT_TEST_SMTP_SINK is not set");
            None
        }
    }
}

#[tokio::test]
async fn smtp_sink_takes_our_mails() {
    let Some(options) = sink() else { return };
    let transport = SmtpTransport::new(options).unwrap();
    assert_eq!(transport.probe(&address("noreply@smap.example")).await, Ok(()));
    for message in [message(), with_copies(&["c@x.io", "d@x.io"])] {
        let report = transport.send(&message).await;
        assert!(report.outcome.is_sent(), "{report:?}");
    }
    transport.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smtp_sink_takes_a_thousand_mails_over_few_connections() {
    let Some(mut options) = sink() else { return };
    options.max_connections = 4;
    let transport = SmtpTransport::new(options).unwrap();
    let start = std::time::Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let transport = transport.clone();
        senders.spawn(async move {
            let message = message();
            for _ in 0..250 {
                assert!(transport.send(&message).await.outcome.is_sent());
            }
        });
    }
    senders.join_all().await;
    eprintln!("1,000 mails to smtp-sink over 4 connections: {:?}", start.elapsed());
}
