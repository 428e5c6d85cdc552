//! Opening a site: tables that are there, tables that are made.

use backshift::{Backshift, Job, OpenError, Registry, Schedule, StoreError, testkit::servers::TestDatabase};

use crate::log::Log;

#[tokio::test]
async fn what_no_site_can_be_at_is_said_before_anything_is_opened() {
    let file = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", file.path().join("jobs.db").display());
    for (url, beside, said) in [
        ("nats://app:geheim@h:4222", Some(store.as_str()), "\"nats\" begins no URL of a broker"),
        ("h:5672", None, "\"h\" begins no URL"),
        ("jobs.db", None, "such as embedded:jobs.db"),
        ("amqp://app:geheim@h", None, "remembered in a database: say which"),
        (store.as_str(), Some("postgres://h/other"), "leave the URL of the store away"),
    ] {
        let refused = Backshift::open(url, beside).await.err().expect("it is refused");
        let text = refused.to_string();
        assert!(matches!(refused, OpenError::Url(_)) && text.contains(said), "{url}: {text}");
        assert!(!text.contains("geheim"), "{text}");
    }
    assert!(!file.path().join("jobs.db").exists(), "nothing was made");
}

#[tokio::test]
async fn a_url_leads_to_the_database_that_is_both() {
    let file = tempfile::tempdir().unwrap();
    let database = TestDatabase::create().await;
    let embedded = format!("embedded:{}", file.path().join("jobs.db").display());
    let urls = [Some(embedded), database.as_ref().map(TestDatabase::url)];
    for (url, broker) in urls.into_iter().flatten().zip(["embedded", "postgres"]) {
        let site = Backshift::open(&url, None).migrate().await.unwrap();
        assert_eq!(site.broker().name(), broker);
    }
}

#[tokio::test]
async fn a_site_without_tables_is_refused_with_the_remedy_or_makes_them_also_when_many_start_at_once() {
    let Some(database) = TestDatabase::create().await else { return };
    let url = database.url();
    let refused = Backshift::postgres(&url).await.err().expect("there are no tables");
    let text = refused.to_string();
    assert!(matches!(refused, OpenError::Store(StoreError::Schema(_))), "{text}");
    assert!(text.contains("`backshift migrate up`") && text.contains("`.migrate()`"), "{text}");
    let (one, two, three) = tokio::join!(
        async { Backshift::postgres(&url).migrate().await.map(drop) },
        async { Backshift::postgres(&url).migrate().await.map(drop) },
        async { Backshift::postgres(&url).migrate().await.map(drop) },
    );
    one.and(two).and(three).unwrap();
    Backshift::postgres(&url).await.unwrap();
}

#[tokio::test]
async fn what_the_server_notices_at_the_first_migration_is_not_in_the_log() {
    let Some(database) = TestDatabase::create().await else { return };
    let (log, _guard) = Log::keep_of_all();
    let site = Backshift::postgres(&database.url()).migrate().await.unwrap();
    let text = log.text();
    assert!(!text.contains("NOTICE") && !text.contains("already exists"), "{text}");
    site.database().sql("DO $$ BEGIN RAISE NOTICE 'somebody else speaks'; END $$").run().await.unwrap();
    assert!(
        log.text().contains("somebody else speaks"),
        "nothing of the server would be heard: {}",
        log.text()
    );
}

#[tokio::test]
async fn a_table_that_is_not_there_may_be_the_user_s_own_and_the_remedy_says_so() {
    let file = tempfile::tempdir().unwrap();
    let embedded = Backshift::embedded(&file.path().join("jobs.db").to_string_lossy()).await.unwrap();
    let database = TestDatabase::create().await;
    let mut sites = vec![embedded];
    if let Some(database) = &database {
        sites.push(Backshift::postgres(&database.url()).migrate().await.unwrap());
    }
    for site in sites {
        let missing =
            site.database().sql("UPDATE acounts SET cents = 1").run().await.unwrap_err().to_string();
        for part in [
            "acounts",
            "if it is one of Backshift's",
            "`backshift migrate up`",
            "`.migrate()`",
            "whoever owns it",
        ] {
            assert!(missing.contains(part), "{part}: {missing}");
        }
    }
}

#[tokio::test]
async fn two_schedules_of_one_name_are_refused_because_one_of_them_would_never_run() {
    let file = tempfile::tempdir().unwrap();
    let site = Backshift::embedded(&file.path().join("jobs.db").to_string_lossy()).await.unwrap();
    let nightly = |when| Schedule::of("nightly", when, &Report {}).unwrap();
    let worker = site.worker(Registry::default()).cron(nightly("0 3 * * *")).cron(nightly("0 4 * * *"));
    let refused = worker.pool("default", 1).unwrap().run(std::future::ready(())).await.unwrap_err();
    assert!(refused.to_string().contains("two schedules are named nightly"), "{refused}");
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Report {}

impl Job for Report {
    const KIND: &'static str = "report.nightly";
}
