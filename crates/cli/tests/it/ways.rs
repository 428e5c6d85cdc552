//! How connections are protected, with real servers: what is refused, what is warned about, what `doctor` says.
//!
//! `0.0.0.0` as a destination ends on this machine and is not a loopback address, so it stands for another machine.

use backshift_testkit::servers::{Postgres, PrivateServer, RabbitMq, Wishes};
use serde_json::Value;

use crate::scene::{Authority, Ended, Place, Settings, Smtp, backshift, encrypted, probe};

/// A certificate for both ways to this machine.
const NAMES: &[&str] = &["0.0.0.0", "127.0.0.1"];

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
        // Resolvers may ask the network for a name below `localhost`.
        (database("postgres://me:geheim@db.localhost:1/x?sslmode=prefer"), "db.localhost"),
        (database("postgres://me:geheim@localhost,db.localhost/x?sslmode=disable"), "db.localhost"),
        (vec![("RABBITMQ_URL", "amqp://me:geheim@mq.localhost:1/")], "mq.localhost"),
        ([&mail[..2], &[("SMTP_HOST", "mail.localhost")]].concat(), "mail.localhost"),
        // And for `localhost` with a dot, which stands in no hosts file.
        (database("postgres://me:geheim@localhost.:1/x?sslmode=prefer"), "localhost."),
        (database("postgres://me:geheim@LOCALHOST%2e:1/x?sslmode=disable"), "LOCALHOST."),
        (database("postgres://me:geheim@localhost/x?host=localhost.&sslmode=disable"), "localhost."),
        (vec![("RABBITMQ_URL", "amqp://me:geheim@localhost.:1/")], "localhost."),
        (vec![("BACKSHIFT_BROKER_URL", "amqp://me:geheim@LOCALHOST%2e:1/")], "amqps"),
        ([&mail[..2], &[("SMTP_HOST", "localhost.")]].concat(), "localhost."),
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

async fn postgres(certificate: Option<(String, String)>, method: &'static str) -> (PrivateServer, String) {
    let login = Some((method, PASSWORD.to_owned()));
    let server =
        PrivateServer::with(&Postgres, Wishes { certificate, login, ..Wishes::default() }).await.unwrap();
    let abroad = server.url().replace("127.0.0.1", "0.0.0.0");
    (server, abroad)
}

/// What `doctor` says of a part: whether it is well, and its one connection. What it says to people is printed.
async fn doctor(part: &str, settings: &[(&str, &str)]) -> (bool, Value, Ended) {
    let ended = run(&["doctor", "--json"], settings).await;
    let found = ended.list().into_iter().find(|row| row["part"] == part).unwrap();
    let text = run(&["doctor"], settings).await;
    assert_eq!(text.code, ended.code, "{text:?}");
    text.out.lines().for_each(|line| println!("{line}"));
    println!();
    (found["ok"] == true, found["connections"][0].clone(), ended)
}

async fn store(url: &str, more: &[(&str, &str)]) -> (bool, Value, Ended) {
    doctor("store", &[&[("DATABASE_URL", url), ("BACKSHIFT_MIGRATE", "auto")][..], more].concat()).await
}

/// Verified by this file (RabbitMQ trusts it beside the machine's own), and safe.
fn is_verified(connection: &Value, ca: &str) {
    assert_eq!(
        (&connection["encrypted"], &connection["verified"]),
        (&"yes".into(), &true.into()),
        "{connection}"
    );
    assert!(connection["authority"].as_str().is_some_and(|text| text.ends_with(ca)), "{connection}");
    assert_eq!((&connection["host"], &connection["safe"]), (&"0.0.0.0".into(), &true.into()), "{connection}");
}

#[tokio::test]
async fn the_doctor_says_of_each_connection_what_it_is_worth() {
    let authority = Authority::new();
    let ca = authority.file();
    let (_right, url) = postgres(Some(authority.sign(NAMES)), "scram-sha-256").await;

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
        is_verified(&connection, &ca);
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

#[tokio::test]
async fn the_doctor_says_of_rabbitmq_what_its_connection_is_worth_and_a_worker_needs_the_same() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let wishes = Wishes { certificate: Some(authority.sign(NAMES)), ..Wishes::default() };
    let server = PrivateServer::with(&RabbitMq::DISTRIBUTION, wishes).await.unwrap();
    let url = server.encrypted_url().unwrap().replace("127.0.0.1", "0.0.0.0");
    let rabbit = |url: &'static str| ("RABBITMQ_URL", url);
    let (url, clear): (&'static str, &'static str) = (url.leak(), server.url().leak());
    let strict = ("BACKSHIFT_REQUIRE_TLS", "true");
    let files = [stranger.file(), authority.file()];

    for settings in [vec![rabbit(url)], vec![rabbit(url), ("BACKSHIFT_RABBITMQ_CA_FILE", &files[0])]] {
        let (well, connection, ended) = doctor("broker", &settings).await;
        assert!(!well && ended.code == 78, "{ended:?}");
        assert!(ended.out.contains("rabbitmq.ca_file (BACKSHIFT_RABBITMQ_CA_FILE)"), "{ended:?}");
        assert_eq!((&connection["encrypted"], &connection["verified"]), (&"yes".into(), &true.into()));
    }
    let wrong: &'static str = url.replace("0.0.0.0", "localhost").leak();
    let (well, _, ended) =
        doctor("broker", &[rabbit(wrong), ("BACKSHIFT_RABBITMQ_CA_FILE", &files[1])]).await;
    assert!(!well && ended.out.contains("for another name"), "{ended:?}");
    let no_tls: &'static str = clear.replace("amqp://", "amqps://").replace("127.0.0.1", "0.0.0.0").leak();
    let (well, _, ended) =
        doctor("broker", &[rabbit(no_tls), ("BACKSHIFT_RABBITMQ_CA_FILE", &files[1])]).await;
    assert!(!well && ended.code == 78 && ended.out.contains("no TLS on this port"), "{ended:?}");
    let right = [rabbit(url), ("BACKSHIFT_RABBITMQ_CA_FILE", &files[1]), strict];
    let (well, connection, ended) = doctor("broker", &right).await;
    assert!(well && ended.code == 0, "{ended:?}");
    is_verified(&connection, &files[1]);
    let abroad: &'static str = clear.replace("127.0.0.1", "0.0.0.0").leak();
    let (well, connection, ended) = doctor("broker", &[rabbit(abroad)]).await;
    assert!(well && connection["safe"] == false && ended.err.contains("not safe"), "{ended:?}");
    works_through(url, &files[1]).await;
}

/// `enqueue` and a worker reach this RabbitMQ when they know its authority, and a worker that does not says what it lacks.
async fn works_through(url: &str, ca: &str) {
    let place = Place::at_with_a_file(url);
    let lost = place.start("probes:2");
    lost.answers(503, &["rabbitmq.ca_file"]).await;
    drop(lost);
    let place = place.with(&[("BACKSHIFT_RABBITMQ_CA_FILE", ca), ("BACKSHIFT_REQUIRE_TLS", "true")]);
    let ids = place.enqueue(&[probe("private", "ok", 0, 0)]).await;
    let worker = place.worker("probes:2").await;
    place.wait_state(&ids[0], "completed").await;
    assert_eq!(worker.drained().await, Some(0));
}

#[tokio::test]
async fn the_doctor_says_of_smtp_what_its_connection_is_worth() {
    let (authority, smtp) = (Authority::new(), Smtp::start().await);
    let door = encrypted(authority.sign(NAMES), smtp.port).await;
    let (ca, tls, clear) = (authority.file(), door.port.to_string(), smtp.port.to_string());
    let server = |port, mode| {
        vec![
            ("SMTP_HOST", "0.0.0.0"),
            ("SMTP_PORT", port),
            ("BACKSHIFT_SMTP_TLS", mode),
            ("SMTP_FROM", "a@example.com"),
        ]
    };
    let login = [("SMTP_USER", "me"), ("SMTP_PASSWORD", PASSWORD)];
    let with = |settings: Vec<(&'static str, &'static str)>, more: &[(&'static str, &'static str)]| {
        [&settings[..], &login, more].concat()
    };
    let (ca, tls, clear): (&'static str, &'static str, &'static str) = (ca.leak(), tls.leak(), clear.leak());

    let (well, connection, ended) = doctor("mail", &with(server(tls, "implicit"), &[])).await;
    assert!(
        !well && ended.code == 78 && ended.out.contains("smtp.ca_file (BACKSHIFT_SMTP_CA_FILE)"),
        "{ended:?}"
    );
    assert_eq!((&connection["encrypted"], &connection["verified"]), (&"yes".into(), &true.into()));
    let authorities = [("BACKSHIFT_SMTP_CA_FILE", ca)];
    for (mode, word) in [("starttls", "does not offer STARTTLS"), ("implicit", "no TLS on this port")] {
        let (well, _, ended) = doctor("mail", &with(server(clear, mode), &authorities)).await;
        assert!(!well && ended.code == 78 && ended.out.contains(word), "{ended:?}");
    }
    assert_eq!(smtp.count("AUTH"), 0, "nobody got the password");
    let right = [("BACKSHIFT_SMTP_CA_FILE", ca), ("BACKSHIFT_REQUIRE_TLS", "true")];
    let (well, connection, ended) = doctor("mail", &with(server(tls, "implicit"), &right)).await;
    assert!(well && ended.code == 0, "{ended:?}");
    is_verified(&connection, ca);
}
