//! Tables that somebody else made: taken over when they are named, else left as they are, and nothing else is made either.

use std::{collections::BTreeSet, time::Duration};

use backshift_core::{Envelope, Kind, QueueName, StoreError, Timestamp, WorkerName, store::Holder};
use backshift_domains::{identity, mail};
use backshift_store::{
    Database, Options, ledger,
    migrate::{self, ENGINE, What},
};

use crate::databases::{self, Fresh};

/// System C's tables, and system A's.
const THEIRS: [&str; 5] = [
    "CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), username varchar(255) UNIQUE NOT NULL, \
     password_hash varchar(255), created_at timestamptz DEFAULT now())",
    "CREATE TABLE plans (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar(50) UNIQUE NOT NULL, code varchar(50) \
     UNIQUE NOT NULL, description text, max_usage int NOT NULL DEFAULT 3, created_at timestamptz, updated_at timestamptz, \
     deleted_at timestamptz)",
    "CREATE TABLE background_jobs (id uuid PRIMARY KEY, user_id uuid NOT NULL, job_type text NOT NULL, status text NOT NULL, \
     created_at timestamp NOT NULL)",
    "INSERT INTO users (username) VALUES ('ann@example.com')",
    "INSERT INTO background_jobs VALUES (gen_random_uuid(), gen_random_uuid(), 'theirs', 'completed', now())",
];

async fn run(db: &Database, statements: &[&'static str]) {
    for statement in statements {
        db.sql(*statement).run().await.unwrap();
    }
}

/// Every column of the schema, as `table.column`.
async fn columns(db: &Database) -> BTreeSet<String> {
    let text = "SELECT table_name || '.' || column_name FROM information_schema.columns \
        WHERE table_schema = current_schema()";
    db.sql(text).all::<String>().await.unwrap().into_iter().collect()
}

/// How many jobs a worker gets.
async fn claimed(db: &Database) -> usize {
    let worker = Holder { worker: WorkerName::new("w").unwrap(), lease: Duration::from_secs(30) };
    ledger::claim_available(db, &QueueName::new("ready").unwrap(), 5, &worker).await.unwrap().len()
}

fn named(tables: &[&str]) -> Vec<String> {
    tables.iter().map(|table| (*table).to_owned()).collect()
}

/// Directly, and through the pooler.
async fn places() -> impl Iterator<Item = Fresh> {
    let (direct, pooled) = (databases::postgres().await, databases::pooled().await);
    direct.into_iter().chain(pooled)
}

#[tokio::test]
async fn tables_of_others_are_left_alone_until_somebody_names_them() {
    for place in places().await {
        let db = &place.db;
        run(db, &THEIRS).await;
        let before = columns(db).await;
        let lines = [&ENGINE, &mail::TABLES, &identity::TABLES];
        for adopt in [&[][..], &["users"], &["users", "plans"], &["background_jobs", "subscriptions"]] {
            let refused = migrate::up_adopting(db, &lines, &named(adopt)).await.unwrap_err();
            let StoreError::Schema(text) = &refused else { panic!("{refused}") };
            for table in ["background_jobs", "users", "plans"] {
                let is_named = text.split(" If Backshift").next().unwrap().contains(table);
                assert_eq!(is_named, !adopt.contains(&table), "{table} {adopt:?}: {text}");
            }
            assert!(text.contains("database.adopt") && text.contains("--dry-run"), "{text}");
            assert_eq!(columns(db).await, before, "nothing is changed and nothing made");
        }
        let adopt = named(&["background_jobs", "users", "plans"]);
        migrate::up_adopting(db, &lines, &adopt).await.unwrap();
        let user: String = db.sql("SELECT username FROM users").one().await.unwrap();
        assert_eq!(user, "ann@example.com");
        let theirs: String = db.sql("SELECT broker FROM background_jobs").one().await.unwrap();
        assert_eq!(theirs, "adopted", "listed and never claimed");
        assert!(migrate::up(db, &lines).await.unwrap().is_empty(), "what was adopted once is ours");
        assert_eq!(claimed(db).await, 0);
        let (kind, ready) = (Kind::new("test.job").unwrap(), QueueName::new("ready").unwrap());
        let job = Envelope::new(kind, ready, &b"{}"[..], Timestamp::now());
        ledger::enqueue(db, "postgres", vec![job]).await.remove(0).unwrap();
        assert_eq!(claimed(db).await, 1);
    }
}

#[tokio::test]
async fn the_dry_run_lists_every_column_that_is_added_and_changes_nothing() {
    for place in places().await {
        let db = &place.db;
        run(db, &THEIRS).await;
        let before = columns(db).await;
        let (lines, adopt) =
            ([&ENGINE, &mail::TABLES, &identity::TABLES], named(&["background_jobs", "users", "plans"]));
        let untold = migrate::preview(db, &lines, &[]).await.unwrap();
        assert!(migrate::refusal(&untold).is_some());
        let told = migrate::preview(db, &lines, &adopt).await.unwrap();
        assert!(migrate::refusal(&told).is_none());
        assert_eq!(columns(db).await, before, "looking changes nothing");
        let listed = |changes: &[migrate::Change]| -> BTreeSet<String> {
            let mut listed = BTreeSet::new();
            for change in changes {
                if let What::Adopted(gains) | What::Refused(gains) = &change.what {
                    let name = |gain: &String| gain.split(' ').next().unwrap().to_owned();
                    listed.extend(gains.iter().map(|gain| format!("{}.{}", change.table, name(gain))));
                }
            }
            listed
        };
        migrate::up_adopting(db, &lines, &adopt).await.unwrap();
        let theirs = |column: &&String| adopt.iter().any(|table| column.starts_with(&format!("{table}.")));
        let after = columns(db).await;
        let added: BTreeSet<String> = after.difference(&before).filter(theirs).cloned().collect();
        assert!(added.contains("users.confirmed_at") && added.contains("background_jobs.token"), "{added:?}");
        assert_eq!(listed(&told), added);
        assert_eq!(listed(&untold), added, "also before anybody named them");
        let made: BTreeSet<&str> =
            told.iter().filter(|change| change.what == What::Made).map(|change| change.table).collect();
        let is_made = |column: &&String| !theirs(column) && !column.starts_with("backshift_migrations.");
        let there: BTreeSet<&str> =
            after.iter().filter(is_made).map(|column| column.split('.').next().unwrap()).collect();
        assert_eq!(made, there);
    }
}

#[tokio::test]
async fn what_cannot_be_adopted_is_refused_with_the_reason_before_anything_is_changed() {
    for (theirs, table, why) in [
        (
            "CREATE TABLE users (id bigserial PRIMARY KEY, username text)",
            "users",
            "its column id is bigint, and has to be uuid",
        ),
        ("CREATE TABLE plans (id uuid PRIMARY KEY, name text)", "plans", "it has no column code"),
        ("CREATE TABLE otp_sends (id uuid PRIMARY KEY)", "otp_sends", "Backshift did not make it"),
        ("CREATE VIEW job_queues AS SELECT 1 AS one", "job_queues", "Backshift did not make it"),
    ] {
        let Some(place) = databases::postgres().await else { return };
        place.db.sql(theirs).run().await.unwrap();
        let before = columns(&place.db).await;
        let refused = migrate::up_adopting(&place.db, &[&ENGINE, &identity::TABLES], &named(&[table]))
            .await
            .unwrap_err();
        assert!(
            matches!(&refused, StoreError::Schema(text) if text.contains(&format!("{table}: ")) && text.contains(why)),
            "{refused}"
        );
        assert_eq!(columns(&place.db).await, before);
        // In a schema of its own nobody is in anybody's way.
        let apart = Options { schema: Some("apart".into()), ..Options::default() };
        let apart = Database::open(&place.url, &apart).unwrap();
        migrate::up(&apart, &[&ENGINE, &identity::TABLES]).await.unwrap();
        migrate::check(&apart, &[&ENGINE, &identity::TABLES]).await.unwrap();
        assert_eq!(columns(&place.db).await, before);
    }
}

#[tokio::test]
async fn a_line_that_is_off_is_in_nobodys_way() {
    let Some(place) = databases::postgres().await else { return };
    place.db.sql("CREATE TABLE users (id bigserial PRIMARY KEY, name text)").run().await.unwrap();
    migrate::up(&place.db, &[&ENGINE, &mail::TABLES]).await.unwrap();
    let theirs: BTreeSet<String> =
        columns(&place.db).await.into_iter().filter(|name| name.starts_with("users.")).collect();
    assert_eq!(theirs, BTreeSet::from(["users.id".to_owned(), "users.name".to_owned()]));
}

#[tokio::test]
async fn a_file_with_a_table_of_somebody_else_is_left_as_it_is() {
    let place = databases::sqlite();
    place.db.sql("CREATE TABLE users (id integer PRIMARY KEY, name text)").run().await.unwrap();
    let adopt = named(&["users"]);
    let refused = migrate::up_adopting(&place.db, &[&ENGINE, &identity::TABLES], &adopt).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::Schema(text) if text.contains("none of a SQLite file is adopted")),
        "{refused}"
    );
    let tables: i64 =
        place.db.sql("SELECT count(*) FROM sqlite_master WHERE type = 'table'").one().await.unwrap();
    assert_eq!(tables, 1);
    migrate::up(&place.db, &[&ENGINE]).await.unwrap();
}
