//! How connections are protected, with real servers: what is refused, what is warned about, what `doctor` says.
//!
//! `0.0.0.0` as a destination ends on this machine and is no loopback address, so it stands for another machine.

use backshift_testkit::survival::{Door, PrivateServer};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::scene::{Ended, Settings, backshift};

const PASSWORD: &str = "geheim-in-the-clear";

async fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    let base = Settings::of(&[("BACKSHIFT_DATA_DIR", directory.path().to_str().unwrap())]);
    let ended = backshift(arguments, &base.with(settings).pairs()).await;
    assert!(!ended.out.contains("geheim") && !ended.err.contains("geheim"), "{ended:?}");
    ended
}

#[tokio::test]
async fn only_a_verified_connection_to_another_machine_is_allowed_when_tls_is_required() {
    let mail = [("SMTP_FROM", "a@example.com"), ("BACKSHIFT_SMTP_TLS", "none"), ("SMTP_HOST", "0.0.0.0")];
    let database = |url: &'static str| vec![("DATABASE_URL", url)];
    for (settings, word) in [
        (database("postgres://me:geheim@0.0.0.0:1/x?sslmode=prefer"), "verify-full"),
        (database("postgres://me:geheim@0.0.0.0:1/x?sslmode=require"), "not checked"),
        (database("postgres://me:geheim@0.0.0.0:1/x?sslmode=verify-ca"), "host name is not"),
        (database("postgres://me:geheim@localhost:1/x?hostaddr=0.0.0.0&sslmode=prefer"), "0.0.0.0"),
        (database("postgres://me:geheim@localhost:1/x?host=0.0.0.0&sslmode=prefer"), "0.0.0.0"),
        (database("postgres://me:geheim@localhost,0.0.0.0/x?sslmode=disable"), "0.0.0.0"),
        (database("postgres://me:geheim@0.0.0.0/x?sslmode=verify-full&sslmode=disable"), "twice"),
        (vec![("BACKSHIFT_BROKER_URL", "amqp://me:geheim@0.0.0.0:1/")], "amqps"),
        (vec![("RABBITMQ_URL", "amqp://me:geheim@0.0.0.0:1/")], "amqps"),
        (mail.to_vec(), "starttls"),
        (database("carrier-pigeon://me:geheim@0.0.0.0/"), "postgres:"),
        (vec![("BACKSHIFT_BROKER_URL", "carrier-pigeon://me:geheim@0.0.0.0/")], "carrier-pigeon"),
    ] {
        let settings = [&[("BACKSHIFT_REQUIRE_TLS", "true")][..], &settings].concat();
        let ended = run(&["worker"], &settings).await;
        assert_eq!(ended.code, 78, "{settings:?}: {ended:?}");
        assert!(format!("{}{}", ended.out, ended.err).contains(word), "{word} in {ended:?}");
    }
}

#[tokio::test]
async fn less_than_verified_is_said_at_the_start() {
    let settings = [("DATABASE_URL", "postgres://me:geheim@0.0.0.0:1/x?sslmode=require")];
    let ended = run(&["jobs", "list"], &settings).await;
    assert_eq!(ended.code, 69, "{ended:?}");
    assert!(ended.err.contains("not safe") && ended.err.contains("certificate is not checked"), "{ended:?}");
    let mail = [("SMTP_HOST", "0.0.0.0"), ("BACKSHIFT_SMTP_TLS", "none"), ("SMTP_FROM", "a@example.com")];
    let credentials = [("SMTP_USER", "me"), ("SMTP_PASSWORD", PASSWORD)];
    let ended = run(&["doctor"], &[&mail[..], &credentials].concat()).await;
    assert_eq!(ended.code, 78, "{ended:?}");
    assert!(ended.err.contains("would cross the network in clear"), "{ended:?}");
}

/// A directory with `ca.pem`, and certificate and key of a server that it signed for both ways to this machine.
fn signed() -> (TempDir, (String, String)) {
    let directory = tempfile::tempdir().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(directory.path().join("ca.pem"), authority.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["0.0.0.0".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    (directory, (certificate.pem(), key.serialize_pem()))
}

async fn postgres(certificate: Option<(String, String)>, method: &'static str) -> (PrivateServer, String) {
    let door = Door { certificate, login: Some((method, PASSWORD.to_owned())) };
    let server = PrivateServer::postgres(door).await.unwrap();
    let abroad = server.url().replace("127.0.0.1", "0.0.0.0");
    (server, abroad)
}

/// What `doctor` says of the store: whether it is well, and its one connection.
async fn store(url: &str, more: &[(&str, &str)]) -> (bool, serde_json::Value, Ended) {
    let settings = [&[("DATABASE_URL", url), ("BACKSHIFT_MIGRATE", "auto")][..], more].concat();
    let ended = run(&["doctor", "--json"], &settings).await;
    let found = ended.list().into_iter().find(|row| row["part"] == "store").unwrap();
    (found["ok"] == true, found["connections"][0].clone(), ended)
}

#[tokio::test]
async fn the_doctor_says_of_each_connection_what_it_is_worth() {
    let (authority, pair) = signed();
    let ca = authority.path().join("ca.pem").display().to_string();
    let (_right, url) = postgres(Some(pair), "scram-sha-256").await;

    let (well, connection, ended) = store(&url, &[]).await;
    assert!(!well && ended.code == 78, "{ended:?}");
    assert!(ended.out.contains("sslrootcert") && ended.out.contains("database.ca_file"), "{ended:?}");
    assert_eq!((&connection["encrypted"], &connection["verified"]), (&"yes".into(), &true.into()));

    for (url, more) in [
        (url.clone(), vec![("BACKSHIFT_DATABASE_CA_FILE", ca.as_str()), ("BACKSHIFT_REQUIRE_TLS", "true")]),
        (format!("{url}?sslrootcert={ca}"), vec![("BACKSHIFT_REQUIRE_TLS", "true")]),
    ] {
        let (well, connection, ended) = store(&url, &more).await;
        assert!(well && ended.code == 0, "{ended:?}");
        assert_eq!(connection["authority"], ca);
        assert_eq!((&connection["host"], &connection["safe"]), (&"0.0.0.0".into(), &true.into()));
    }
    let (well, connection, ended) = store(&format!("{url}?sslmode=require"), &[]).await;
    assert!(well && connection["verified"] == false && connection["safe"] == false, "{ended:?}");
    assert!(ended.err.contains("not safe"), "{ended:?}");
    let relaxed = format!("{url}?sslmode=require");
    let settings = [("DATABASE_URL", relaxed.as_str()), ("BACKSHIFT_MIGRATE", "auto")];
    let text = run(&["doctor"], &settings).await.done().out;
    assert!(text.contains("PostgreSQL at 0.0.0.0:") && text.contains("certificate not checked"), "{text}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_by_default_and_never_gets_the_password_itself() {
    let (server, url) = postgres(None, "password").await;
    let (well, _, ended) = store(&url, &[]).await;
    assert!(!well && ended.code == 78 && ended.out.contains("offers no TLS"), "{ended:?}");
    let (well, connection, ended) = store(&format!("{url}?sslmode=disable"), &[]).await;
    assert!(!well && ended.code == 78 && ended.out.contains("was not sent"), "{ended:?}");
    assert_eq!(connection["encrypted"], "no");
    // The same server on this machine, as before.
    let (well, connection, ended) = store(&server.url(), &[]).await;
    assert!(well && connection["this_machine"] == true, "{ended:?}");
}
