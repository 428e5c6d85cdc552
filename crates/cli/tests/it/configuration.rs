//! Settings: every mistake is named with its remedy, and nothing starts on a guess.

use backshift_testkit::ports::free_port;

use crate::scene::{Ended, Settings, SystemC, backshift};

async fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings::of(&[("BACKSHIFT_DATA_DIR", directory.path().to_str().unwrap())]).with(settings);
    backshift(arguments, &settings.pairs()).await
}

async fn refused(settings: &[(&str, &str)], words: &[&str]) {
    let ended = run(&["config", "show"], settings).await;
    assert_eq!(ended.code, 78, "{settings:?}: {ended:?}");
    for word in words {
        assert!(ended.err.contains(word), "{word} in {ended:?}");
    }
}

#[tokio::test]
async fn mistakes_are_named_with_the_remedy() {
    refused(&[("BACKSHIFT_WORKER_LAESE", "5s")], &["BACKSHIFT_WORKER_LAESE", "BACKSHIFT_WORKER_LEASE"]).await;
    refused(&[("BACKSHIFT_WORKER_LEASE", "5")], &["worker.lease", "BACKSHIFT_WORKER_LEASE", "5s"]).await;
    refused(&[("BACKSHIFT_SMTP_TLS", "maybe")], &["none, starttls, implicit"]).await;
    refused(&[("BACKSHIFT_PROBE", "perhaps")], &["probe", "true"]).await;
    refused(&[("SMTP_PORT", "70000")], &["SMTP_PORT", "65535"]).await;
    refused(&[("SMTP_USER", "a"), ("SMTP_USERNAME", "b")], &["SMTP_USER", "SMTP_USERNAME", "differ"]).await;
    refused(
        &[("SMTP_PASS", "top-secret-a"), ("SMTP_PASSWORD", "top-secret-b")],
        &["SMTP_PASS", "SMTP_PASSWORD"],
    )
    .await;
    refused(&[("APP_PORT", "1"), ("PORT", "2")], &["APP_PORT", "PORT"]).await;
    refused(
        &[("BACKSHIFT_WORKER_LEASE", "x"), ("BACKSHIFT_RETRY_BASE", "y")],
        &["worker.lease", "retry.base"],
    )
    .await;
    refused(&[("BACKSHIFT_MIGRATE", "always")], &["manual, auto"]).await;
    let leaked =
        run(&["config", "show"], &[("SMTP_PASS", "top-secret-a"), ("SMTP_PASSWORD", "top-secret-b")]).await;
    assert!(!leaked.err.contains("top-secret"), "{leaked:?}");
    run(&["config", "show"], &[("SMTP_USER", "a"), ("SMTP_USERNAME", "a")]).await.done();
}

#[tokio::test]
async fn origins_are_shown_and_secrets_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("my.toml");
    std::fs::write(&file, "max_attempts = 3\n[retry]\nbase = \"7s\"\ncap = \"2m\"\n").unwrap();
    let path = file.to_str().unwrap();
    let settings = [
        ("BACKSHIFT_RETRY_CAP", "3m"),
        ("SMTP_PASSWORD", "never-shown"),
        ("DATABASE_URL", "postgres://me:hidden@127.0.0.1/x"),
        ("JWT_SECRET", "never-shown-either"),
    ];
    let shown = run(&["--config", path, "config", "show", "--origin", "--json"], &settings).await.done();
    let find = |key: &str| {
        let list = shown.list();
        let found = list.iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("{key}: {shown:?}"));
        (found["value"].as_str().unwrap().to_owned(), found["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(find("retry.base"), ("7s".into(), format!("file {path}")));
    assert_eq!(find("retry.cap"), ("3m".into(), "environment BACKSHIFT_RETRY_CAP".into()));
    assert_eq!(find("max_attempts").0, "3");
    assert_eq!(find("otp.ttl"), ("10m".into(), "default".into()));
    for secret in ["never-shown", "hidden"] {
        assert!(!shown.out.contains(secret), "{secret}");
    }
    let table = run(&["--config", path, "config", "show", "--origin"], &settings).await.done();
    assert!(table.out.contains("environment BACKSHIFT_RETRY_CAP") && !table.out.contains("never-shown"));
    std::fs::write(&file, "[worker]\nlaese = \"5s\"\n").unwrap();
    let wrong = run(&["--config", path, "config", "show"], &[]).await;
    assert_eq!(wrong.code, 78);
    assert!(wrong.err.contains("worker.laese") && wrong.err.contains("worker.lease?"), "{wrong:?}");
    let absent = run(&["--config", "/nonexistent/b.toml", "config", "show"], &[]).await;
    assert_eq!(absent.code, 78, "{absent:?}");
}

#[tokio::test]
async fn the_template_is_a_legal_file_with_every_key() {
    let template = run(&["config", "template"], &[]).await.done().out;
    let shown = run(&["config", "show", "--json"], &[]).await.done().list();
    for row in &shown {
        let key = row["key"].as_str().unwrap();
        let name = key.rsplit('.').next().unwrap();
        assert!(template.contains(&format!("# {name} = ")), "{key}");
        assert!(template.contains(row["variable"].as_str().unwrap()), "{key}");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("all.toml");
    let uncommented: Vec<&str> = template
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| rest.split(" = ").next().is_some_and(|k| !k.contains(' ')))
                .unwrap_or(line)
        })
        .collect();
    std::fs::write(&file, uncommented.join("\n")).unwrap();
    run(&["--config", file.to_str().unwrap(), "config", "show"], &[]).await.done();
}

#[tokio::test]
async fn long_running_commands_end_with_78_on_a_wrong_configuration() {
    let secret = ("JWT_SECRET", "a-secret-of-at-least-32-bytes-here");
    for (command, settings, word) in [
        ("api", vec![], "JWT_SECRET"),
        ("api", vec![("JWT_SECRET", " \t")], "auth.jwt_secret is not set"),
        ("api", vec![("JWT_SECRET", "fifteen letters")], "fewer than 16 bytes"),
        ("dev", vec![("BACKSHIFT_AUTH_JWT_SECRET", "x")], "fewer than 16 bytes"),
        ("api", vec![secret, ("DATABASE_URL", "mysql://x/y")], "database"),
        ("worker", vec![("BACKSHIFT_BROKER_URL", "carrier-pigeon:x")], "carrier-pigeon"),
        ("worker", vec![("RABBITMQ_URL", "http://127.0.0.1:1")], "amqp"),
        ("worker", vec![("RABBITMQ_URL", "amqp://127.0.0.1:1/")], "SMTP_HOST"),
        ("dev", vec![("BACKSHIFT_OTP_TTL", "ten minutes")], "otp.ttl"),
    ] {
        let ended = run(&[command], &settings).await;
        assert_eq!(ended.code, 78, "{command} {settings:?}: {ended:?}");
        assert!(format!("{}{}", ended.out, ended.err).contains(word), "{word} in {ended:?}");
    }
}

#[tokio::test]
async fn a_schema_that_does_not_fit_is_78_with_the_command_to_run() {
    let Some(system) = SystemC::unmigrated().await else { return };
    for command in [&["worker"][..], &["api"], &["jobs", "list"], &["enqueue", "k", "--payload", "{}"]] {
        let ended = system.run(command).await;
        assert_eq!(ended.code, 78, "{command:?}: {ended:?}");
        assert!(format!("{}{}", ended.out, ended.err).contains("backshift migrate up"), "{ended:?}");
    }
    system.run(&["migrate", "up"]).await.done();
    assert!(system.run(&["jobs", "list", "--json"]).await.done().list().is_empty());
}

#[tokio::test]
async fn a_wrong_password_or_database_is_a_clear_error() {
    let Some(system) = SystemC::new().await else { return };
    let wrong = format!("{}_not_there", system.database.url());
    let ended =
        backshift(&["jobs", "list"], &system.settings.with(&[("DATABASE_URL", &wrong)]).pairs()).await;
    assert!(matches!(ended.code, 69 | 78), "{ended:?}");
    assert!(ended.err.contains("not_there"), "{ended:?}");
    let doctor = system.run(&["doctor", "--json"]).await.done().list();
    let mut parts: Vec<&str> = doctor.iter().map(|row| row["part"].as_str().unwrap()).collect();
    parts.dedup();
    assert_eq!(parts, ["configuration", "store", "broker", "mail"]);
    assert!(doctor.iter().all(|row| row["ok"] == true), "{doctor:?}");
}

#[tokio::test]
async fn the_doctor_finds_what_is_broken() {
    let Some(mut system) = SystemC::new().await else { return };
    system.smtp.refuse_auth(Some("535 5.7.8 no"));
    let ended = system.run(&["doctor"]).await;
    assert_ne!(ended.code, 0);
    assert!(
        ended.out.contains("problem") && format!("{}{}", ended.out, ended.err).contains("535"),
        "{ended:?}"
    );
    system.smtp.refuse_auth(None);
    let nobody = format!("amqp://guest:guest@127.0.0.1:{}/", free_port().unwrap());
    system.set(&[("RABBITMQ_URL", &nobody)]);
    assert_eq!(system.run(&["doctor"]).await.code, 69);
}

#[tokio::test]
async fn a_weak_secret_is_named_by_the_doctor() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    for (secret, code, word) in [
        ("fifteen letters", 78, "fewer than 16 bytes"),
        ("sixteen letters!", 0, "fewer than 32 bytes"),
        (" ", 0, "JWT_SECRET is not set"),
        (crate::scene::JWT_SECRET, 0, "JWT_SECRET is set"),
    ] {
        let settings = [("BACKSHIFT_DATA_DIR", data.to_str().unwrap()), ("JWT_SECRET", secret)];
        let ended = backshift(&["doctor"], &settings).await;
        assert_eq!(ended.code, code, "{secret}: {ended:?}");
        let said = format!("{}{}", ended.out, ended.err);
        assert!(said.contains(word) && (secret == " " || !said.contains(secret)), "{word} in {ended:?}");
    }
}

#[tokio::test]
async fn accounts_are_steered_without_the_secret_of_the_api() {
    let directory = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", directory.path().join("accounts.db").display());
    let keys = directory.path().join("nowhere");
    let settings = [("DATABASE_URL", database.as_str()), ("BACKSHIFT_DATA_DIR", keys.to_str().unwrap())];
    backshift(&["migrate", "up"], &settings).await.done();
    let ended = backshift(&["users", "grant-admin", "nobody@example.com"], &settings).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("has no account"), "{ended:?}");
    assert!(!keys.exists(), "a command that signs nothing has left a key");
}
