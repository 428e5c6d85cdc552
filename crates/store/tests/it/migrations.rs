//! Migrations: from nothing, twice, at once, line by line; beside older and newer programs.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use backshift_core::StoreError;
use backshift_store::{
    Database, Dialect, Executor, Options, Sql,
    migrate::{self, ENGINE, Line, Migration},
};

use crate::{
    on_both_databases,
    place::{self, Place},
    world::{completed, job},
};

async fn places() -> Vec<Place> {
    let mut places = vec![place::sqlite()];
    places.extend(place::postgres().await);
    places
}

const fn same(text: &'static str) -> Sql {
    Sql { pg: text, sqlite: text }
}

const fn step(version: u32, name: &'static str, compatible_from: u32, text: Sql) -> Migration {
    Migration { version, name, compatible_from, text }
}

/// A line of a domain, as three programs know it.
const TOYS: Sql = same("CREATE TABLE toys (\n    name text PRIMARY KEY\n);");
const COLOUR: Sql = same("ALTER TABLE toys ADD COLUMN colour text;");
const RENAMED: Sql = same("ALTER TABLE toys RENAME TO playthings;");
static OLD: Line = Line { name: "toys", steps: &[step(1, "toys", 1, TOYS)], adoptable: &[] };
static NEWER: Line =
    Line { name: "toys", steps: &[step(1, "toys", 1, TOYS), step(2, "colour", 1, COLOUR)], adoptable: &[] };
static GAMES: Line = Line {
    name: "games",
    steps: &[step(1, "games", 1, same("CREATE TABLE games (\n    name text PRIMARY KEY\n);"))],
    adoptable: &[],
};
static NEWEST: Line = Line {
    name: "toys",
    steps: &[step(1, "toys", 1, TOYS), step(2, "colour", 1, COLOUR), step(3, "renamed", 3, RENAMED)],
    adoptable: &[],
};

fn names(steps: &[migrate::Step]) -> Vec<String> {
    steps.iter().map(|step| format!("{} {} {}", step.line, step.version, step.name)).collect()
}

#[tokio::test]
async fn an_empty_database_is_filled_once_and_a_line_only_when_it_is_asked_for() {
    for place in places().await {
        let refused = migrate::check(&place.db, &[&ENGINE]).await.unwrap_err();
        assert!(
            matches!(&refused, StoreError::Schema(t) if t.contains("`backshift migrate up`")),
            "{refused}"
        );
        let steps = migrate::status(&place.db, &[&ENGINE], &[&ENGINE, &OLD, &GAMES]).await.unwrap();
        assert!(steps.iter().all(|step| step.applied_at.is_none()));
        let wanted: Vec<_> = steps.iter().filter(|step| step.wanted).map(|step| &*step.line).collect();
        assert_eq!(wanted, ["engine"], "what is not asked for is not to do");
        assert_eq!(names(&migrate::up(&place.db, &[&ENGINE]).await.unwrap()), ["engine 1 engine"]);
        migrate::check(&place.db, &[&ENGINE]).await.unwrap();
        for table in ["toys", "games"] {
            let there = place.db.text(format!("SELECT count(*) FROM {table}")).one::<i64>().await;
            assert!(matches!(there, Err(StoreError::Schema(_))), "{table}: {there:?}");
        }
        let refused = migrate::check(&place.db, &[&ENGINE, &GAMES]).await.unwrap_err().to_string();
        assert!(refused.contains("`backshift migrate up --line games`"), "{refused}");
        let more = migrate::up(&place.db, &[&ENGINE, &OLD, &GAMES]).await.unwrap();
        assert_eq!(names(&more), ["toys 1 toys", "games 1 games"]);
        migrate::check(&place.db, &[&GAMES, &OLD]).await.unwrap();
        assert!(migrate::up(&place.db, &[&ENGINE, &OLD, &GAMES]).await.unwrap().is_empty());
        assert_eq!(migrate::lines_in(&place.db).await.unwrap(), ["engine", "games", "toys"]);
        let rows: i64 = place.db.sql("SELECT count(*) FROM background_jobs").one().await.unwrap();
        assert_eq!(rows, 0);
    }
}

#[tokio::test]
async fn many_instances_migrate_at_once() {
    for place in places().await {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..5 {
            let db = Database::open(&place.url, &Options::default()).unwrap();
            tasks.spawn(async move { migrate::up(&db, &[&ENGINE, &OLD, &GAMES]).await.unwrap().len() });
        }
        let mut workers = 0;
        while let Some(steps) = tasks.join_next().await {
            workers += usize::from(steps.unwrap() > 0);
        }
        assert_eq!(workers, 1);
        migrate::check(&place.db, &[&ENGINE, &OLD, &GAMES]).await.unwrap();
    }
}

#[tokio::test]
async fn an_older_program_lives_with_what_was_only_added() {
    for place in places().await {
        migrate::up(&place.db, &[&OLD]).await.unwrap();
        let refused = migrate::check(&place.db, &[&NEWER]).await.unwrap_err().to_string();
        assert!(
            refused.contains("is at version 1 of the line toys"),
            "the newer one wants its step: {refused}"
        );
        assert_eq!(names(&migrate::up(&place.db, &[&NEWER]).await.unwrap()), ["toys 2 colour"]);
        migrate::check(&place.db, &[&OLD]).await.unwrap();
        assert!(migrate::up(&place.db, &[&OLD]).await.unwrap().is_empty(), "the older one has nothing to do");
        place.db.sql("INSERT INTO toys (name) VALUES ('ball')").run().await.unwrap();
        let steps = migrate::status(&place.db, &[&OLD], &[]).await.unwrap();
        assert_eq!(names(&steps), ["toys 1 toys", "toys 2 colour"]);
        assert_eq!(steps.iter().map(|step| step.wanted).collect::<Vec<_>>(), [true, false]);
    }
}

#[tokio::test]
async fn a_program_that_cannot_live_with_the_tables_is_refused_with_both_versions() {
    for place in places().await {
        migrate::up(&place.db, &[&ENGINE, &NEWEST]).await.unwrap();
        migrate::check(&place.db, &[&ENGINE, &NEWEST]).await.unwrap();
        for older in [&OLD, &NEWER] {
            let known = older.latest();
            for refused in [
                migrate::check(&place.db, &[&ENGINE, older]).await.unwrap_err(),
                migrate::up(&place.db, &[&ENGINE, older]).await.unwrap_err(),
            ] {
                let text = refused.to_string();
                assert!(text.contains("the line toys of this database is at version 3"), "{text}");
                assert!(text.contains(&format!("up to {known}: use a newer program")), "{text}");
            }
        }
        migrate::check(&place.db, &[&ENGINE]).await.unwrap();
    }
}

const LATER: Sql = Sql {
    pg: "ALTER TABLE background_jobs ADD COLUMN later text, ADD COLUMN latest bigint NOT NULL DEFAULT 7; \
         CREATE INDEX background_jobs_later ON background_jobs (later) WHERE later IS NOT NULL; \
         ALTER TABLE job_workers ADD COLUMN later text;",
    sqlite: "ALTER TABLE background_jobs ADD COLUMN later TEXT; \
             ALTER TABLE background_jobs ADD COLUMN latest INTEGER NOT NULL DEFAULT 7; \
             CREATE INDEX background_jobs_later ON background_jobs (later) WHERE later IS NOT NULL; \
             ALTER TABLE job_workers ADD COLUMN later TEXT;",
};

/// The engine as a program of the next version knows it.
fn next_engine() -> &'static Line {
    let later = step(ENGINE.latest() + 1, "later", 1, LATER);
    let steps = ENGINE.steps.iter().map(|one| step(one.version, one.name, one.compatible_from, one.text));
    let steps: Vec<Migration> = steps.chain([later]).collect();
    Box::leak(Box::new(Line { name: ENGINE.name, steps: Vec::leak(steps), adoptable: ENGINE.adoptable }))
}

on_both_databases! {
    async fn a_program_works_on_while_a_newer_one_adds_to_its_tables(world) {
        let done = Arc::new(AtomicBool::new(false));
        let mut finished = 0;
        let migrates = {
            let (url, done) = (world.place.url.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let newer = Database::open(&url, &Options::default()).unwrap();
                let steps = migrate::up(&newer, &[next_engine()]).await;
                done.store(true, Ordering::SeqCst);
                steps.map(|steps| names(&steps))
            })
        };
        // At least one more round after the step, with the sessions and the plans from before.
        for _ in 0..1000 {
            let last = done.load(Ordering::SeqCst);
let accepted = world.enqueue_all((0..10).map(|_| job("ready")).collect()).await;
            assert!(accepted.iter().all(Result::is_ok), "{accepted:?}");
            for (_, start) in world.claim_many("w", 10).await {
                world.finish(start.lease, completed()).await;
                finished += 1;
            }
            if last {
                break;
            }
        }
        assert_eq!(migrates.await.unwrap().unwrap(), ["engine 2 later"]);
        let completed: i64 =
            world.db().sql("SELECT count(*) FROM background_jobs WHERE status = 'completed' AND latest = 7").one().await.unwrap();
        assert_eq!(completed, finished);
        assert!(finished >= 10);
        // And one that starts now.
        migrate::check(world.db(), &[&ENGINE]).await.unwrap();
        let started = Database::open(&world.place.url, &Options::default()).unwrap();
        migrate::check(&started, &[&ENGINE]).await.unwrap();
        assert!(migrate::up(&started, &[&ENGINE]).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_step_that_was_changed_afterwards_is_refused() {
    for place in places().await {
        migrate::up(&place.db, &[&ENGINE]).await.unwrap();
        place
            .db
            .sql("UPDATE backshift_migrations SET checksum = 'other' WHERE version = 1")
            .run()
            .await
            .unwrap();
        let refused = migrate::up(&place.db, &[&ENGINE]).await.unwrap_err();
        assert!(refused.to_string().contains("step 1 (engine) of the line engine"), "{refused}");
    }
}

/// The book of the states before the first release: numbers without lines.
#[tokio::test]
async fn tables_of_an_unreleased_state_are_refused_in_words_and_left_alone() {
    for place in places().await {
        let book = "CREATE TABLE backshift_migrations (version bigint PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, \
            applied_at timestamp NOT NULL)";
        let book = book.replace(
            "timestamp",
            if place.db.dialect() == Dialect::Sqlite { "integer" } else { "timestamptz" },
        );
        place.db.text(book).run().await.unwrap();
        let row = "INSERT INTO backshift_migrations VALUES (1, 'ledger', 'x', now())";
        place.db.sql(row).run().await.unwrap();
        for refused in [
            migrate::check(&place.db, &[&ENGINE]).await.unwrap_err(),
            migrate::up(&place.db, &[&ENGINE]).await.unwrap_err(),
            migrate::status(&place.db, &[&ENGINE], &[]).await.unwrap_err(),
            migrate::preview(&place.db, &[&ENGINE], &[]).await.unwrap_err(),
        ] {
            assert!(
                matches!(&refused, StoreError::Schema(text) if text.contains("make the database anew")),
                "{refused}"
            );
        }
        let rows: i64 = place.db.sql("SELECT count(*) FROM backshift_migrations").one().await.unwrap();
        assert_eq!(rows, 1);
    }
}

#[tokio::test]
async fn the_script_does_the_same_as_up() {
    for place in places().await {
        let script = migrate::sql(place.db.dialect(), &[&ENGINE, &OLD, &GAMES]);
        match place.db.dialect() {
            Dialect::Sqlite => {
                let path = place.db.as_sqlite().unwrap().path().to_owned();
                rusqlite::Connection::open(path).unwrap().execute_batch(&script).unwrap();
            }
            Dialect::Postgres => {
                let (client, connection) =
                    tokio_postgres::connect(&place.url, tokio_postgres::NoTls).await.unwrap();
                let driver = tokio::spawn(connection);
                client.batch_execute(&script).await.unwrap();
                driver.abort();
            }
        }
        migrate::check(&place.db, &[&ENGINE, &OLD, &GAMES]).await.unwrap();
        assert!(migrate::up(&place.db, &[&ENGINE, &OLD, &GAMES]).await.unwrap().is_empty());
    }
}
