//! Enqueueing: with options, many at once, in a transaction.

use std::{error::Error, time::Duration};

use backshift::{Accepted, Backshift, Client, EnqueueOptions, Envelope, State, UniqueKey};
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::jobs::{Invoice, Report};

/// A site on a file of its own.
pub async fn embedded() -> (TempDir, String, Backshift) {
    let place = TempDir::new().unwrap();
    let path = place.path().join("jobs.db").to_string_lossy().into_owned();
    let site = Backshift::embedded(&path).await.unwrap();
    (place, path, site)
}

pub async fn pool_of(path: &str) -> SqlitePool {
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(path)).await.unwrap()
}

#[tokio::test]
async fn now() -> Result<(), Box<dyn Error>> {
    let (_place, _, site) = embedded().await;
    let client = site.client();
    let id = client.enqueue(&Invoice { order: 7, copies: 1 }).await?;

    assert_eq!(site.store().find(id).await?.unwrap().state, State::Available);
    Ok(())
}

#[tokio::test]
async fn with_options() -> Result<(), Box<dyn Error>> {
    let (_place, _, site) = embedded().await;
    let (client, reminder) = (site.client(), Report { days: 1 });
    first_of_its_key(&client, &reminder).await?;

    // Later:
    let options = EnqueueOptions::new().delay(Duration::from_secs(600));
    client.enqueue_with(&reminder, options).await?;

    // One at a time: while one with this key is unfinished, another is not added.
    let options = EnqueueOptions::new().unique("reminder:order-7");
    let answer = client.enqueue_with(&reminder, options).await?;
    assert!(matches!(answer, Accepted::Unique(_))); // the first one still waits

    // The latest wins, for work that a newer wish makes pointless:
    let options = EnqueueOptions::new().unique(UniqueKey::new("search-index:7").keep_last());
    client.enqueue_with(&reminder, options).await?;

    // The same request twice (a client that repeats, a webhook): only one job, also when it is long over.
    let options = EnqueueOptions::new().idempotency_key("stripe-event-evt_1");
    client.enqueue_with(&reminder, options).await?;

    // Urgent, in a queue of its own, with text beside the payload:
    let options = EnqueueOptions::new().queue("urgent")?.header("locale", "vi");
    client.enqueue_with(&reminder, options).await?;

    let counts = site.store().counts().await?;
    let urgent = counts.iter().find(|counts| counts.queue.as_str() == "urgent").unwrap();
    assert_eq!(urgent.count(State::Available), 1);
    let default = counts.iter().find(|counts| counts.queue.as_str() == "default").unwrap();
    assert_eq!((default.count(State::Scheduled), default.count(State::Available)), (1, 3));
    Ok(())
}

async fn first_of_its_key(client: &Client, reminder: &Report) -> Result<(), Box<dyn Error>> {
    let options = EnqueueOptions::new().unique("reminder:order-7");
    assert!(matches!(client.enqueue_with(reminder, options).await?, Accepted::New(_)));
    Ok(())
}

#[tokio::test]
async fn many() -> Result<(), Box<dyn Error>> {
    let (_place, _, site) = embedded().await;
    let client = site.client();
    let jobs: Vec<Envelope> = (0..1000)
        .map(|order| client.envelope_of(&Invoice { order, copies: 1 }, EnqueueOptions::new()))
        .collect::<Result<_, _>>()?;
    for answer in client.enqueue_many(jobs).await {
        answer?;
    }

    assert_eq!(site.store().counts().await?[0].count(State::Available), 1000);
    Ok(())
}

#[tokio::test]
async fn in_a_transaction() -> Result<(), Box<dyn Error>> {
    let (_place, path, site) = embedded().await;
    let (pool, client) = (pool_of(&path).await, site.client());
    sqlx::query("CREATE TABLE orders (id INTEGER PRIMARY KEY)").execute(&pool).await?;

    let mut tx = pool.begin().await?;
    sqlx::query("INSERT INTO orders (id) VALUES ($1)").bind(7_i64).execute(&mut *tx).await?;
    client.enqueue_in(&mut tx, &Invoice { order: 7, copies: 1 }).await?;
    tx.commit().await?;

    assert_eq!(site.store().counts().await?[0].count(State::Available), 1);
    Ok(())
}

#[tokio::test]
async fn in_a_transaction_of_sqlite() -> Result<(), Box<dyn Error>> {
    let (_place, path, site) = embedded().await;
    let (pool, client) = (pool_of(&path).await, site.client());

    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?; // sqlx

    client.enqueue_in(&mut tx, &Invoice { order: 7, copies: 1 }).await?;
    tx.commit().await?;
    let mut connection = rusqlite::Connection::open(&path)?;

    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    client.enqueue_in_rusqlite(&tx, &Invoice { order: 8, copies: 1 }, EnqueueOptions::new())?; // blocks, as rusqlite does
    tx.commit()?;

    assert_eq!(site.store().counts().await?[0].count(State::Available), 2);
    Ok(())
}
