//! Reaching PostgreSQL: pooler detection, dead servers, deadlines, wrong settings, the boot check.

use std::time::{Duration, Instant};

use backshift_core::StoreError;
use backshift_store::{Database, Options, check};
use backshift_testkit::pace;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::place::{self, server};

#[tokio::test]
async fn a_transaction_pooler_is_told_from_a_direct_way() {
    if let Some(place) = place::postgres().await {
        assert!(place.db.access().await.unwrap().direct);
        let limit: String = place.db.sql("SELECT current_setting('lock_timeout')").one().await.unwrap();
        assert_eq!(limit, "2s");
    }
    if let Some(place) = place::pgbouncer() {
        assert!(!place.db.access().await.unwrap().direct);
        // Session settings would leak to the pooler's other clients; a transaction carries its own.
        let tx = place.db.begin().await.unwrap();
        let limit: String = tx.sql("SELECT current_setting('lock_timeout')").one().await.unwrap();
        assert_eq!(limit, "2s");
        tx.commit().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_share_a_small_pool() {
    let mut places = Vec::new();
    places.extend(place::postgres().await);
    places.extend(place::pgbouncer());
    for place in places {
        let options = Options { connections: 3, ..Options::default() };
        let db = Database::open(&place.url, &options).unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..16_i64 {
            let db = db.clone();
            tasks.spawn(async move {
                for _ in 0..25 {
                    let answer: i64 = db.sql("SELECT $1 + 1").bind(n).one().await.unwrap();
                    assert_eq!(answer, n + 1);
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert!(db.as_pg().unwrap().connections().0 <= 3);
    }
}

#[tokio::test]
async fn a_statement_that_takes_too_long_ends_and_costs_its_connection() {
    let Some(place) = place::postgres().await else { return };
    // Of a server that answers even a busy machine is sure.
    let deadline = pace::stretched(Duration::from_millis(700));
    let options = Options { deadline, ..Options::default() };
    let db = Database::open(&place.url, &options).unwrap();
    db.ping().await.unwrap();
    let began = Instant::now();
    let late = db.sql("SELECT pg_sleep(30)").all::<()>().await.unwrap_err();
    assert!(matches!(late, StoreError::Unavailable(_)), "{late}");
    // Before the statement's own end.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(db.as_pg().unwrap().connections().1, 0);
    db.ping().await.unwrap();
    let tx = db.begin().await.unwrap();
    assert!(tx.sql("SELECT pg_sleep(30)").all::<()>().await.is_err());
    assert!(tx.commit().await.is_err());
    db.ping().await.unwrap();
}

#[tokio::test]
async fn a_killed_connection_is_unavailable_and_the_next_call_works() {
    let Some(place) = place::postgres().await else { return };
    let killed = place.db.sql("SELECT pg_terminate_backend(pg_backend_pid())").all::<()>().await;
    assert!(killed.unwrap_err().is_transient());
    place.db.ping().await.unwrap();
}

#[tokio::test]
async fn nobody_listening_is_unavailable_and_wrong_names_are_rejected() {
    let away = Database::open("postgres://u:hunter2@127.0.0.1:1/d", &Options::default()).unwrap();
    let error = away.ping().await.unwrap_err();
    assert!(error.is_transient() && !error.to_string().contains("hunter2"), "{error}");
    let Some(base) = server("BACKSHIFT_TEST_POSTGRES_URL") else { return };
    let front = base.split('?').next().unwrap_or(&base);
    let wrong = format!("{}/no_such_database", front.rsplit_once('/').unwrap().0);
    let error = Database::open(&wrong, &Options::default()).unwrap().ping().await.unwrap_err();
    assert!(matches!(&error, StoreError::Unusable(text) if text.contains("3D000")), "{error}");
}

/// Answers each connection as PostgreSQL does when the password is wrong; the test server trusts everybody.
async fn doorkeeper() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"u\"\0\0";
            let mut refusal = b"E".to_vec();
            refusal.extend_from_slice(&(fields.len() as u32 + 4).to_be_bytes());
            refusal.extend_from_slice(fields);
            let mut asked = [0; 512];
            let _ = client.read(&mut asked).await;
            let _ = client.write_all(&refusal).await;
        }
    });
    port
}

#[tokio::test]
async fn a_wrong_password_is_rejected_with_what_to_check() {
    let port = doorkeeper().await;
    let url = format!("postgres://u:hunter2@127.0.0.1:{port}/d?sslmode=disable");
    let error = Database::open(&url, &Options::default()).unwrap().ping().await.unwrap_err();
    let said =
        matches!(&error, StoreError::Unusable(text) if text.contains("28P01") && text.contains("check user"));
    assert!(said && !error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_when_tls_is_required() {
    let Some(place) = place::postgres().await else { return };
    let has_tls: String = place.db.sql("SELECT current_setting('ssl')").one().await.unwrap();
    let url = format!("{}?sslmode=require&pgbouncer=true", place.url);
    let answer = Database::open(&url, &Options::default()).unwrap().ping().await;
    assert_eq!(answer.is_ok(), has_tls == "on", "{answer:?}");
}

#[tokio::test]
async fn other_schemes_are_refused_without_their_secrets() {
    for url in ["mysql://u:hunter2@h/d", "hunter2", "postgres://u:hunter2@h/d?sslmode=maybe"] {
        let error = Database::open(url, &Options::default()).unwrap_err();
        assert!(matches!(error, StoreError::Rejected(_)));
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn the_boot_check_names_what_the_server_has_wrong() {
    assert_eq!(check::settings(&place::sqlite().db).await.unwrap(), []);
    let Some(place) = place::postgres().await else { return };
    let setting = |name: &str| {
        let text = format!("SELECT current_setting('{name}')");
        let db = place.db.clone();
        async move { backshift_store::Executor::text(&db, text).one::<String>().await.unwrap() }
    };
    let mut expected = Vec::new();
    for name in ["fsync", "full_page_writes", "synchronous_commit"] {
        if setting(name).await == "off" {
            expected.push(name);
        }
    }
    let found: Vec<&str> =
        check::settings(&place.db).await.unwrap().iter().map(|finding| finding.setting).collect();
    assert_eq!(found, expected);
}
