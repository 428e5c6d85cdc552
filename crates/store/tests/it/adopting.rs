//! Tables that somebody else made: taken over when they are named, else left as they are, and nothing else is made either.

use std::collections::BTreeSet;

use backshift_core::StoreError;
use backshift_store::{
    Database, Options,
    migrate::{self, ENGINE, IDENTITY, MAIL, What},
};

use crate::{
    place::{self, Place},
    world::World,
};

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

fn named(tables: &[&str]) -> Vec<String> {
    tables.iter().map(|table| (*table).to_owned()).collect()
}

/// Directly, and through the pooler.
async fn places() -> Vec<Place> {
    let mut places: Vec<Place> = place::postgres().await.into_iter().collect();
    if let Some(door) = place::server("BACKSHIFT_TEST_PGBOUNCER_URL")
        && let Some(mut place) = place::postgres().await
    {
        let name = place.url.rsplit_once('/').unwrap().1.to_owned();
        place.url = format!("{}/{name}", door.rsplit_once('/').unwrap().0);
        place.db = Database::open(&place.url, &Options::default()).unwrap();
        places.push(place);
    }
    places
}

#[tokio::test]
async fn tables_of_others_are_left_alone_until_somebody_names_them() {
    for place in places().await {
        let db = &place.db;
        run(db, &THEIRS).await;
        let before = columns(db).await;
        let lines = [&ENGINE, &MAIL, &IDENTITY];
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
        let world = World::at(place, "postgres").await;
        assert!(world.claim("w").await.is_none());
        world.running("w").await;
    }
}

#[tokio::test]
async fn the_dry_run_lists_every_column_that_is_added_and_changes_nothing() {
    for place in places().await {
        let db = &place.db;
        run(db, &THEIRS).await;
        let before = columns(db).await;
        let (lines, adopt) = ([&ENGINE, &MAIL, &IDENTITY], named(&["background_jobs", "users", "plans"]));
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
        let Some(place) = place::postgres().await else { return };
        place.db.sql(theirs).run().await.unwrap();
        let before = columns(&place.db).await;
        let refused =
            migrate::up_adopting(&place.db, &[&ENGINE, &IDENTITY], &named(&[table])).await.unwrap_err();
        assert!(
            matches!(&refused, StoreError::Schema(text) if text.contains(&format!("{table}: ")) && text.contains(why)),
            "{refused}"
        );
        assert_eq!(columns(&place.db).await, before);
        // In a schema of its own nobody is in anybody's way.
        let apart = Options { schema: Some("apart".into()), ..Options::default() };
        let apart = Database::open(&place.url, &apart).unwrap();
        migrate::up(&apart, &[&ENGINE, &IDENTITY]).await.unwrap();
        migrate::check(&apart, &[&ENGINE, &IDENTITY]).await.unwrap();
        assert_eq!(columns(&place.db).await, before);
    }
}

#[tokio::test]
async fn a_line_that_is_off_is_in_nobodys_way() {
    let Some(place) = place::postgres().await else { return };
    place.db.sql("CREATE TABLE users (id bigserial PRIMARY KEY, name text)").run().await.unwrap();
    migrate::up(&place.db, &[&ENGINE, &MAIL]).await.unwrap();
    let theirs: BTreeSet<String> =
        columns(&place.db).await.into_iter().filter(|name| name.starts_with("users.")).collect();
    assert_eq!(theirs, BTreeSet::from(["users.id".to_owned(), "users.name".to_owned()]));
}

#[tokio::test]
async fn a_file_with_a_table_of_somebody_else_is_left_as_it_is() {
    let place = place::sqlite();
    place.db.sql("CREATE TABLE users (id integer PRIMARY KEY, name text)").run().await.unwrap();
    let adopt = named(&["users"]);
    let refused = migrate::up_adopting(&place.db, &[&ENGINE, &IDENTITY], &adopt).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::Schema(text) if text.contains("none of a SQLite file is adopted")),
        "{refused}"
    );
    let tables: i64 =
        place.db.sql("SELECT count(*) FROM sqlite_master WHERE type = 'table'").one().await.unwrap();
    assert_eq!(tables, 1);
    migrate::up(&place.db, &[&ENGINE]).await.unwrap();
}
