//! Migrations: from nothing, twice, at once, from an older and to a newer program, beside tables that exist.

use backshift_core::StoreError;
use backshift_store::{
    Database, Dialect, Executor, Options,
    migrate::{self, Extras},
};

use crate::place::{self, Place};

async fn places() -> Vec<Place> {
    let mut places = vec![place::sqlite()];
    places.extend(place::postgres().await);
    places
}

const PROBE: Extras = Extras { probe: true };

#[tokio::test]
async fn an_empty_database_is_filled_once() {
    for place in places().await {
        let refused = migrate::check(&place.db, Extras::default()).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Schema(t) if t.contains("backshift migrate up")), "{refused}");
        let steps = migrate::status(&place.db, Extras::default()).await.unwrap();
        assert!(steps.iter().all(|step| step.applied_at.is_none()));
        let unwanted: Vec<_> = steps.iter().filter(|step| !step.wanted).map(|step| &*step.name).collect();
        assert_eq!(unwanted, ["probe"], "what is not asked for is not to do");
        let main = migrate::up(&place.db, Extras::default()).await.unwrap();
        assert!(main.len() >= 4 && main[0].name == "ledger");
        migrate::check(&place.db, Extras::default()).await.unwrap();
        assert!(migrate::check(&place.db, PROBE).await.is_err());
        let probe = migrate::up(&place.db, PROBE).await.unwrap();
        assert_eq!(probe.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["probe"]);
        migrate::check(&place.db, PROBE).await.unwrap();
        assert!(migrate::up(&place.db, PROBE).await.unwrap().is_empty());
        let steps = migrate::status(&place.db, PROBE).await.unwrap();
        assert!(steps.iter().all(|step| step.applied_at.is_some() && step.wanted));
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
            tasks.spawn(async move { migrate::up(&db, PROBE).await.unwrap().len() });
        }
        let mut workers = 0;
        while let Some(steps) = tasks.join_next().await {
            workers += usize::from(steps.unwrap() > 0);
        }
        assert_eq!(workers, 1);
        migrate::check(&place.db, PROBE).await.unwrap();
    }
}

#[tokio::test]
async fn a_database_that_is_ahead_is_refused_with_both_versions() {
    for place in places().await {
        migrate::up(&place.db, PROBE).await.unwrap();
        let insert = "INSERT INTO backshift_migrations VALUES (77, 'future', 'x', now())";
        place.db.sql(insert).run().await.unwrap();
        for refused in [
            migrate::check(&place.db, Extras::default()).await.unwrap_err(),
            migrate::up(&place.db, Extras::default()).await.unwrap_err(),
        ] {
            let text = refused.to_string();
            assert!(text.contains("version 77") && text.contains("newer program"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_step_that_was_changed_afterwards_is_refused() {
    for place in places().await {
        migrate::up(&place.db, Extras::default()).await.unwrap();
        place
            .db
            .sql("UPDATE backshift_migrations SET checksum = 'other' WHERE version = 1")
            .run()
            .await
            .unwrap();
        let refused = migrate::up(&place.db, Extras::default()).await.unwrap_err();
        assert!(refused.to_string().contains("step 1 (ledger)"), "{refused}");
    }
}

#[tokio::test]
async fn the_script_does_the_same_as_up() {
    for place in places().await {
        let script = migrate::sql(place.db.dialect(), Extras::default());
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
        migrate::check(&place.db, Extras::default()).await.unwrap();
        assert!(migrate::up(&place.db, Extras::default()).await.unwrap().is_empty());
    }
}
