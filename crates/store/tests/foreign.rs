//! Somebody else's transaction accepts and finishes our jobs: committed together, undone together.
//!
//! A binary of its own, because only it needs sqlx, SeaORM and diesel.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

#[path = "it/place.rs"]
#[allow(dead_code)]
mod place;

use backshift_core::{BrokerName, Envelope, JobId, Kind, Lease, QueueName, StoreError, Timestamp, Token};
use backshift_store::{
    Database,
    foreign::{ForeignTx, enqueue_in, enqueue_statement, enqueue_with, finish_lease_in, finish_statement},
    migrate,
};
use place::Place;

fn job() -> Envelope {
    let (kind, queue) = (Kind::new("mail.send").unwrap(), QueueName::new("mails").unwrap());
    let mut job = Envelope::new(kind, queue, vec![0, 1, 255], Timestamp::now());
    job.headers.insert("locale".into(), "vi \"ế\"".into());
    job
}

async fn migrated(place: Place) -> Place {
    migrate::up(&place.db, &[&migrate::ENGINE]).await.unwrap();
    place
}

async fn postgres() -> Option<Place> {
    Some(migrated(place::postgres().await?).await)
}

async fn state(db: &Database, id: JobId) -> Option<(String, backshift_core::Bytes)> {
    db.sql("SELECT status, payload FROM background_jobs WHERE id = $1").bind(id).optional().await.unwrap()
}

/// Makes the job look started, as a claim does.
async fn start(db: &Database, id: JobId) -> Lease {
    let text = "UPDATE background_jobs SET status = 'running', token = 7, worker = 'w' WHERE id = $1";
    assert_eq!(db.sql(text).bind(id).run().await.unwrap(), 1);
    Lease { job: id, token: Token(7), until: Timestamp::now(), claim: None }
}

/// What is asked of every library: given its open transaction, accept one job.
async fn accept(tx: &mut impl ForeignTx, broker: &str, job: &Envelope) {
    let broker: BrokerName = broker.parse().unwrap();
    let other = if broker == BrokerName::POSTGRES { BrokerName::EMBEDDED } else { BrokerName::POSTGRES };
    let jobs = std::slice::from_ref(job);
    assert_eq!(enqueue_in(tx, broker, jobs).await.unwrap(), 1);
    assert_eq!(enqueue_in(tx, broker, jobs).await.unwrap(), 0, "the same id adds nothing");
    assert_eq!(enqueue_in(tx, broker, &[]).await.unwrap(), 0);
    let refused = enqueue_in(tx, other, jobs).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Rejected(text) if text.contains("nobody would run")), "{refused}");
}

/// Completes the job; a lower token is refused.
async fn complete(tx: &mut impl ForeignTx, lease: Lease) {
    let late = Lease { token: Token(lease.token.0 - 1), ..lease };
    assert!(matches!(finish_lease_in(tx, &late).await, Err(StoreError::Stale)));
    finish_lease_in(tx, &lease).await.unwrap();
    assert!(matches!(finish_lease_in(tx, &lease).await, Err(StoreError::Stale)));
}

async fn is_available(db: &Database, job: &Envelope) {
    assert_eq!(state(db, job.id).await, Some(("available".into(), job.payload.clone())));
}

async fn is_completed(db: &Database, job: &Envelope) {
    assert_eq!(state(db, job.id).await.unwrap().0, "completed");
}

/// One transaction of a library is undone, a second one kept, a third completes the job; `$tx` is how its transaction
/// is handed over.
macro_rules! its_transactions_carry_jobs {
    ($place:expr, $broker:expr, $library:expr, |$tx:ident| $carrier:expr) => {{
        let (place, broker) = (&$place, $broker);
        let (undone, kept) = (job(), job());
        let mut $tx = $library.begin().await.unwrap();
        accept($carrier, broker, &undone).await;
        $tx.rollback().await.unwrap();
        let mut $tx = $library.begin().await.unwrap();
        accept($carrier, broker, &kept).await;
        $tx.commit().await.unwrap();
        assert_eq!(state(&place.db, undone.id).await, None);
        is_available(&place.db, &kept).await;
        let lease = start(&place.db, kept.id).await;
        let mut $tx = $library.begin().await.unwrap();
        complete($carrier, lease).await;
        $tx.commit().await.unwrap();
        is_completed(&place.db, &kept).await;
    }};
}

#[tokio::test]
async fn our_own_transaction() {
    let mut places = vec![(migrated(place::sqlite()).await, "embedded")];
    places.extend(postgres().await.map(|place| (place, "postgres")));
    for (place, broker) in places {
        its_transactions_carry_jobs!(place, broker, place.db, |tx| &mut tx);
    }
}

#[tokio::test]
async fn tokio_postgres() {
    let Some(place) = postgres().await else { return };
    let (mut client, connection) =
        ::tokio_postgres::connect(&place.url, ::tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let (undone, kept) = (job(), job());
    let mut tx = client.transaction().await.unwrap();
    accept(&mut tx, "postgres", &undone).await;
    tx.rollback().await.unwrap();
    let mut tx = client.transaction().await.unwrap();
    accept(&mut tx, "postgres", &kept).await;
    assert_eq!(state(&place.db, kept.id).await, None, "not before the commit");
    tx.commit().await.unwrap();
    assert_eq!(state(&place.db, undone.id).await, None);
    is_available(&place.db, &kept).await;
    let lease = start(&place.db, kept.id).await;
    let mut tx = client.transaction().await.unwrap();
    complete(&mut tx, lease).await;
    tx.commit().await.unwrap();
    is_completed(&place.db, &kept).await;
    driver.abort();
}

#[tokio::test]
async fn rusqlite() {
    let place = migrated(place::sqlite()).await;
    let (undone, kept) = (job(), job());
    let mut connection = ::rusqlite::Connection::open(place.db.as_sqlite().unwrap().path()).unwrap();
    let tx = connection.transaction().unwrap();
    assert_eq!(enqueue_with(&tx, BrokerName::EMBEDDED, std::slice::from_ref(&undone)).unwrap(), 1);
    assert!(enqueue_with(&tx, BrokerName::POSTGRES, std::slice::from_ref(&undone)).is_err());
    tx.rollback().unwrap();
    let tx = connection.transaction().unwrap();
    assert_eq!(enqueue_with(&tx, BrokerName::EMBEDDED, std::slice::from_ref(&kept)).unwrap(), 1);
    tx.commit().unwrap();
    assert_eq!(state(&place.db, undone.id).await, None);
    is_available(&place.db, &kept).await;
    // The statement itself is public, for libraries that nobody thought of.
    let lease = start(&place.db, kept.id).await;
    let (sql, argument) = finish_statement(&lease);
    let tx = connection.transaction().unwrap();
    assert_eq!(tx.execute(sql.sqlite, [argument]).unwrap(), 1);
    tx.commit().unwrap();
    is_completed(&place.db, &kept).await;
}

#[tokio::test]
async fn sqlx_on_postgres() {
    use sqlx::Connection;
    let Some(place) = postgres().await else { return };
    let mut connection = sqlx::PgConnection::connect(&place.url).await.unwrap();
    its_transactions_carry_jobs!(place, "postgres", connection, |tx| &mut *tx);
}

#[tokio::test]
async fn sqlx_on_sqlite() {
    use sqlx::Connection;
    let place = migrated(place::sqlite()).await;
    let mut connection = sqlx::SqliteConnection::connect(&place.url).await.unwrap();
    its_transactions_carry_jobs!(place, "embedded", connection, |tx| &mut *tx);
}

#[tokio::test]
async fn sea_orm() {
    use ::sea_orm::TransactionTrait;
    let mut places = vec![(migrated(place::sqlite()).await, "embedded")];
    places.extend(postgres().await.map(|place| (place, "postgres")));
    for (place, broker) in places {
        let orm = ::sea_orm::Database::connect(&place.url).await.unwrap();
        its_transactions_carry_jobs!(place, broker, orm, |tx| &mut tx);
    }
}

#[tokio::test]
async fn diesel_async() {
    use ::diesel_async::{AsyncConnection, AsyncPgConnection};
    let Some(place) = postgres().await else { return };
    let mut connection = AsyncPgConnection::establish(&place.url).await.unwrap();
    let (undone, kept) = (job(), job());
    let rolled_back: Result<(), diesel::result::Error> = connection
        .transaction(async |tx| {
            accept(tx, "postgres", &undone).await;
            Err(diesel::result::Error::RollbackTransaction)
        })
        .await;
    assert!(rolled_back.is_err());
    let committed: Result<(), diesel::result::Error> = connection
        .transaction(async |tx| {
            accept(tx, "postgres", &kept).await;
            Ok(())
        })
        .await;
    committed.unwrap();
    assert_eq!(state(&place.db, undone.id).await, None);
    is_available(&place.db, &kept).await;
    let lease = start(&place.db, kept.id).await;
    let finished: Result<(), diesel::result::Error> = connection
        .transaction(async |tx| {
            complete(tx, lease).await;
            Ok(())
        })
        .await;
    finished.unwrap();
    is_completed(&place.db, &kept).await;
}

const TWICE: &str = "INSERT INTO only_once (name) VALUES ($1)";
const TABLE: &str = "CREATE TABLE only_once (name text PRIMARY KEY)";

async fn is_taken(tx: &mut impl ForeignTx, library: &str, rule: &str) {
    assert_eq!(tx.execute_one(TWICE, "a".to_owned()).await.unwrap(), 1);
    match tx.execute_one(TWICE, "a".to_owned()).await {
        Err(StoreError::Taken { rule: named, text }) => {
            assert_eq!(named, rule, "{library}");
            assert!(text.starts_with(library), "{text}");
        }
        other => panic!("{library}: {other:?}"),
    }
}

async fn is_missing(tx: &mut impl ForeignTx, library: &str) {
    let answer = tx.execute_one("INSERT INTO nowhere (name) VALUES ($1)", "a".to_owned()).await;
    assert!(matches!(&answer, Err(StoreError::Schema(text)) if text.starts_with(library)), "{answer:?}");
}

#[tokio::test]
async fn a_second_row_of_one_key_is_taken_in_every_library() {
    use ::diesel_async::{AsyncConnection as _, SimpleAsyncConnection as _};
    use ::sea_orm::{ConnectionTrait as _, TransactionTrait as _};
    use sqlx::Connection as _;
    let mut places = vec![(migrated(place::sqlite()).await, "only_once.name")];
    places.extend(postgres().await.map(|place| (place, "only_once_pkey")));
    for (place, rule) in &places {
        let orm = ::sea_orm::Database::connect(&place.url).await.unwrap();
        orm.execute_unprepared(TABLE).await.unwrap();
        is_taken(&mut orm.begin().await.unwrap(), "SeaORM", rule).await;
        is_missing(&mut orm.begin().await.unwrap(), "SeaORM").await;
        if *rule == "only_once.name" {
            let mut connection = sqlx::SqliteConnection::connect(&place.url).await.unwrap();
            is_taken(&mut connection.begin().await.unwrap(), "sqlx", rule).await;
            is_missing(&mut connection, "sqlx").await;
            continue;
        }
        let mut connection = sqlx::PgConnection::connect(&place.url).await.unwrap();
        is_taken(&mut connection.begin().await.unwrap(), "sqlx", rule).await;
        is_missing(&mut connection, "sqlx").await;
        let mut connection = ::diesel_async::AsyncPgConnection::establish(&place.url).await.unwrap();
        connection.batch_execute("BEGIN").await.unwrap();
        is_taken(&mut connection, "diesel", rule).await;
    }
}

#[test]
fn the_statement_takes_one_text_parameter() {
    let (sql, argument) = enqueue_statement(BrokerName::EMBEDDED, &[job()]);
    for text in [sql.pg, sql.sqlite] {
        assert!(text.contains("$1") && !text.contains("$2"));
    }
    assert!(argument.starts_with("[{"));
}
