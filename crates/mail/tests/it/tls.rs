//! Protection: what is verified, what is refused, and that nothing crosses in the clear.

use std::sync::Arc;

use backshift_mail::{Class, Credentials, Mailer as _, OptionsError, SmtpOptions, SmtpTransport, TlsMode};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::mails::{message, options};
use crate::server::{Act, At, Script, Server};

const STARTTLS: &[&str] = &["PIPELINING", "STARTTLS", "AUTH PLAIN"];

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn acceptor(&self, name: &str, valid: bool) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if !valid {
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

fn protected(server: &Server, mode: TlsMode, ca: &Authority) -> SmtpOptions {
    let mut options = options(server);
    options.host = "localhost".into();
    options.tls = mode;
    options.ca_pem = Some(ca.pem.clone().into_bytes());
    options.credentials = Some(Credentials { username: "user".into(), password: "secret".to_owned().into() });
    options
}

fn starttls(acceptor: TlsAcceptor) -> Script {
    Script { tls: Some(acceptor), ..Script::default() }.offers(STARTTLS)
}

/// Paused, and neither password nor mail was seen by anybody.
async fn paused(script: Script, mode: TlsMode, ca: &Authority) {
    let server = Server::start(script).await;
    let report = SmtpTransport::new(protected(&server, mode, ca)).unwrap().send(&message()).await;
    assert_eq!(
        (report.outcome.word(), report.outcome.failure().unwrap().class),
        ("pause", Class::Tls),
        "{report:?}"
    );
    assert_eq!(
        server.count("AUTH") + server.count("MAIL") + server.count("RCPT"),
        0,
        "{:?}",
        server.commands()
    );
    let clear = String::from_utf8_lossy(&server.seen.lock().unwrap().bytes_in_clear).into_owned();
    assert!(!clear.contains("AUTH") && !clear.contains("MAIL") && !clear.contains("lan@x.io"), "{clear}");
}

#[tokio::test]
async fn starttls_and_implicit_deliver_under_tls() {
    let ca = Authority::new();
    let server = Server::start(starttls(ca.acceptor("localhost", true))).await;
    let transport = SmtpTransport::new(protected(&server, TlsMode::StartTls, &ca)).unwrap();
    for _ in 0..3 {
        assert!(transport.send(&message()).await.outcome.is_sent());
    }
    assert_eq!((server.mails().len(), server.connections(), server.count("EHLO")), (3, 1, 2));
    let clear = String::from_utf8_lossy(&server.seen.lock().unwrap().bytes_in_clear).into_owned();
    assert_eq!(clear.lines().count(), 2, "only EHLO and STARTTLS in the clear: {clear}");

    let script = Script { tls: Some(ca.acceptor("localhost", true)), implicit: true, ..Script::default() };
    let server = Server::start(script.offers(&["AUTH PLAIN"])).await;
    let transport = SmtpTransport::new(protected(&server, TlsMode::Implicit, &ca)).unwrap();
    assert!(transport.send(&message()).await.outcome.is_sent());
    assert!(server.seen.lock().unwrap().bytes_in_clear.is_empty());
}

#[tokio::test]
async fn an_address_can_be_verified_too() {
    let ca = Authority::new();
    let server = Server::start(starttls(ca.acceptor("127.0.0.1", true))).await;
    let mut options = protected(&server, TlsMode::StartTls, &ca);
    options.host = "127.0.0.1".into();
    assert!(SmtpTransport::new(options).unwrap().send(&message()).await.outcome.is_sent());
}

#[tokio::test]
async fn whatever_is_wrong_with_tls_pauses() {
    let (ca, other) = (Authority::new(), Authority::new());
    let mode = TlsMode::StartTls;
    paused(Script::default().offers(&["PIPELINING", "AUTH PLAIN"]), mode, &ca).await;
    paused(starttls(other.acceptor("localhost", true)), mode, &ca).await;
    paused(starttls(ca.acceptor("smtp.other.example", true)), mode, &ca).await;
    paused(starttls(ca.acceptor("localhost", false)), mode, &ca).await;
    let refused = starttls(ca.acceptor("localhost", true)).on(At::StartTls, Act::Say("454 4.7.0 not now"));
    paused(refused, mode, &ca).await;
    let cut = starttls(ca.acceptor("localhost", true)).on(At::StartTls, Act::SayAndCut("220 go"));
    paused(cut, mode, &ca).await;
    let implicit =
        Script { tls: Some(other.acceptor("localhost", true)), implicit: true, ..Script::default() };
    paused(implicit, TlsMode::Implicit, &ca).await;
    paused(Script::default(), TlsMode::Implicit, &ca).await;
}

#[tokio::test]
async fn injected_clear_text_ends_the_connection() {
    let ca = Authority::new();
    let mut script = starttls(ca.acceptor("localhost", true));
    script.injected = "250 injected\r\n235 welcome\r\n";
    paused(script, TlsMode::StartTls, &ca).await;
}

#[tokio::test]
async fn the_systems_roots_do_not_trust_a_stranger() {
    let ca = Authority::new();
    let server = Server::start(starttls(ca.acceptor("localhost", true))).await;
    let mut options = protected(&server, TlsMode::StartTls, &ca);
    options.ca_pem = None;
    match SmtpTransport::new(options) {
        Ok(transport) => assert_eq!(transport.send(&message()).await.outcome.word(), "pause"),
        Err(error) => assert_eq!(error, OptionsError::NoRoots),
    }
    assert_eq!(server.count("AUTH"), 0);
}

#[tokio::test]
async fn bad_options_are_found_at_once() {
    let mut options = SmtpOptions::new("smtp.example.org", 587);
    options.ca_pem = Some(b"no certificate".to_vec());
    assert!(matches!(SmtpTransport::new(options.clone()), Err(OptionsError::CaFile(_))));
    options.host = "bad host".into();
    assert!(matches!(SmtpTransport::new(options.clone()), Err(OptionsError::Host(_))));
    options = SmtpOptions::new("localhost", 25);
    options.max_connections = 0;
    assert!(matches!(SmtpTransport::new(options.clone()), Err(OptionsError::Zero(_))));
    options.max_connections = 1;
    options.hello_name = Some("x\r\nMAIL FROM:<e@e.io>".into());
    assert!(matches!(SmtpTransport::new(options), Err(OptionsError::HelloName(_))));
}
