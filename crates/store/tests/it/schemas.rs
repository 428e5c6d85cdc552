//! The schema that a URL or `database.schema` names, on every kind of connection: direct, pooled, listening, locking.

use std::time::Duration;

use backshift_core::{State, WorkerName, store::Jobs};
use backshift_store::{
    Database, Executor, Options, SqlStore, StoreError,
    liveness::{dead_workers, sign},
    migrate,
    notify::Bell,
};

use crate::{
    liveness::wait_until,
    place::{self, Place},
    world::{World, job, queue},
};

/// In which schemas the ledger is.
async fn homes(db: &Database) -> Vec<String> {
    db.sql("SELECT schemaname::text FROM pg_tables WHERE tablename = 'background_jobs' ORDER BY 1")
        .all()
        .await
        .unwrap()
}

async fn make(db: &Database, schema: &str) {
    db.text(format!("CREATE SCHEMA \"{schema}\"")).run().await.unwrap();
}

fn in_schema(name: &str) -> Options {
    Options { schema: Some(name.to_owned()), ..Options::default() }
}

#[tokio::test]
async fn every_spelling_of_a_schema_in_the_url_is_honoured() {
    for (spelling, schema) in [
        ("search_path=jobs", "jobs"),
        ("search_path=Jobs,public", "jobs"),
        ("search_path=%22Jobs%22", "Jobs"),
        ("schema=Jobs", "Jobs"),
        ("currentSchema=jobs", "jobs"),
        ("options=-c%20search_path%3Djobs", "jobs"),
        ("options=-c%20geqo%3Doff%20--search_path%3Djobs", "jobs"),
    ] {
        let Some(place) = place::postgres().await else { return };
        make(&place.db, schema).await;
        let db = Database::open(&format!("{}?{spelling}", place.url), &Options::default()).unwrap();
        migrate::up(&db, &[&migrate::ENGINE]).await.unwrap();
        migrate::check(&db, &[&migrate::ENGINE]).await.unwrap();
        assert_eq!(homes(&place.db).await, [schema], "{spelling}");
        let strays = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
        assert_eq!(place.db.sql(strays).one::<i64>().await.unwrap(), 0, "{spelling}");
        assert!(matches!(migrate::check(&place.db, &[&migrate::ENGINE]).await, Err(StoreError::Schema(_))));
    }
}

#[tokio::test]
async fn migrate_up_makes_the_schema_that_the_setting_names_and_says_what_a_url_lacks() {
    let Some(place) = place::postgres().await else { return };
    let odd = "Odd \"one's\"; $x$";
    let db = Database::open(&place.url, &in_schema(odd)).unwrap();
    for _ in 0..2 {
        migrate::up(&db, &[&migrate::ENGINE]).await.unwrap();
    }
    assert_eq!(homes(&place.db).await, [odd]);
    let db = Database::open(&format!("{}?schema=missing", place.url), &Options::default()).unwrap();
    let refused = migrate::up(&db, &[&migrate::ENGINE]).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unusable(text) if text.contains("database.schema")), "{refused}");
}

/// A job's whole life in one schema, while another schema of the same database has its own.
async fn lives(world: &World, other: &World) {
    let ids: Vec<_> = world.enqueue_all((0..20).map(|_| job("ready")).collect()).await;
    let id = ids[0].as_ref().unwrap().id();
    assert!(other.claim("w").await.is_none(), "jobs of one schema are not seen in the other");
    assert!(other.store.find(id).await.unwrap().is_none());
    let claims = (0..4).map(|_| world.claim_many("w", 5));
    let claimed = futures::future::join_all(claims).await.concat();
    assert_eq!(claimed.len(), 20);
    world.finish(claimed[0].1.lease, crate::world::completed()).await;
    assert_eq!(world.state(claimed[0].0.id).await, State::Completed);
    let tx = world.db().begin().await.unwrap();
    let seen: i64 = tx.sql("SELECT count(*) FROM background_jobs").one().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(seen, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_schemas_of_one_database_are_two_sites_also_behind_a_transaction_pooler() {
    for pooled in [false, true] {
        let place = if pooled {
            let Some(world) = World::pooled().await else { return };
            world.place
        } else {
            let Some(place) = place::postgres().await else { return };
            place
        };
        let at = async |schema: &str| {
            let db = Database::open(&place.url, &in_schema(schema)).unwrap();
            migrate::up(&db, &[&migrate::ENGINE]).await.unwrap();
            World {
                store: SqlStore::new(db.clone()),
                broker: "postgres",
                place: Place::of(db, place.url.clone()),
            }
        };
        let (one, two) = (at("one").await, at("two").await);
        assert_eq!(one.db().access().await.unwrap().direct, !pooled);
        lives(&one, &two).await;
        lives(&two, &one).await;
        // A client that shares the pooler's servers is told nothing of our schema.
        let stranger: String = place.db.sql("SELECT current_setting('search_path')").one().await.unwrap();
        assert!(stranger.contains("public"), "{stranger}");
    }
}

#[tokio::test]
async fn one_worker_name_in_two_schemas_is_two_workers() {
    let Some(place) = place::postgres().await else { return };
    let mut databases = Vec::new();
    for schema in ["one", "two"] {
        let db = Database::open(&place.url, &in_schema(schema)).unwrap();
        migrate::up(&db, &[&migrate::ENGINE]).await.unwrap();
        databases.push(db);
    }
    let name = WorkerName::new("worker-1").unwrap();
    let first = sign(&databases[0], &name).await.unwrap().unwrap();
    let second = sign(&databases[1], &name).await.unwrap().unwrap();
    assert!(first.stands() && second.stands());
    let again =
        Database::open(&format!("{}?search_path=two,public", place.url), &Options::default()).unwrap();
    assert!(sign(&again, &name).await.is_err(), "another way to name the schema is no other schema");
    drop(first);
    for (db, dead) in [(&databases[1], 0), (&again, 0)] {
        assert_eq!(dead_workers(db, std::slice::from_ref(&name)).await.unwrap().len(), dead);
    }
    let gone = async || dead_workers(&databases[0], std::slice::from_ref(&name)).await.unwrap().len() == 1;
    wait_until("the dropped sign of the first schema is seen", gone).await;
}

#[tokio::test]
async fn wake_ups_reach_listeners_of_a_schema() {
    let Some(place) = place::postgres().await else { return };
    let open = || Database::open(&place.url, &in_schema("one")).unwrap();
    migrate::up(&open(), &[&migrate::ENGINE]).await.unwrap();
    let (here, there) = (Bell::new(&open()), Bell::new(&open()));
    let mut ear = there.listen(&queue("ready"));
    assert!(ear.rung(Duration::from_secs(10)).await, "listening has begun");
    here.ring(&queue("ready"));
    assert!(ear.rung(Duration::from_secs(10)).await);
}

/// A worker of the other schema would look for jobs that it does not have, at every ring.
#[tokio::test]
async fn wake_ups_of_one_schema_are_not_heard_in_another() {
    let Some(place) = place::postgres().await else { return };
    let open = |schema: &str| Database::open(&place.url, &in_schema(schema)).unwrap();
    let mut channels = Vec::new();
    for schema in ["one", "two"] {
        migrate::up(&open(schema), &[&migrate::ENGINE]).await.unwrap();
        let name = "SELECT 'backshift_' || to_hex(hashtextextended($1, 0))";
        let channel = place.db.sql(name).bind(schema).one::<String>().await.unwrap();
        channels.push(channel);
    }
    assert_ne!(channels[0], channels[1]);
    let (client, mut connection) = tokio_postgres::connect(&place.url, tokio_postgres::NoTls).await.unwrap();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            if let tokio_postgres::AsyncMessage::Notification(note) = message {
                let _ = told.send((note.channel().to_owned(), note.payload().to_owned()));
            }
        }
    });
    for channel in &channels {
        client.batch_execute(&format!("LISTEN \"{channel}\"")).await.unwrap();
    }
    for (schema, channel) in ["one", "two"].iter().zip(&channels) {
        Bell::new(&open(schema)).ring(&queue("ready"));
        let (on, payload) = heard.recv().await.unwrap();
        assert_eq!(&on, channel, "{payload}");
        assert!(payload.starts_with("ready "), "{payload}");
    }
}
