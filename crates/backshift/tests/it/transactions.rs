//! `client.enqueue_in`: a typed job in a transaction of five libraries, there exactly when it commits.

use backshift::{
    Accepted, Backshift, EnqueueError, EnqueueMiddleware, EnqueueOptions, Envelope, ForeignTx, JobId,
    NextEnqueue, StoreError,
};

use crate::jobs::{Order, embedded, postgres};

/// What is asked of every library's transaction: a job, one with a key, the same key again.
async fn three(site: &Backshift, tx: &mut impl ForeignTx) -> JobId {
    let client = site.client().with_middleware(Origin);
    let id = client.enqueue_in(tx, &Order { number: 7 }).await.unwrap();
    let keyed = || EnqueueOptions::new().unique("order:7");
    let first = client.enqueue_in_with(tx, &Order { number: 8 }, keyed()).await.unwrap();
    assert!(first.is_some());
    let second = client.enqueue_in_with(tx, &Order { number: 9 }, keyed()).await.unwrap();
    assert_eq!(second, None, "an unfinished job holds the key");
    let large = client.enqueue_in_with(tx, &Order { number: 1 }, EnqueueOptions::new().priority(101)).await;
    assert!(matches!(large, Err(EnqueueError::Invalid(_))), "{large:?}");
    id
}

struct Origin;

impl EnqueueMiddleware for Origin {
    async fn around(&self, mut job: Envelope, next: NextEnqueue<'_>) -> Result<Accepted, EnqueueError> {
        job.headers.insert("origin".into(), "test".into());
        next.run(job).await
    }
}

/// Two jobs are there, the first as it was enqueued, middleware included.
async fn are_there(site: &Backshift, id: JobId) {
    let job = site.store().find(id).await.unwrap().expect("the transaction committed");
    assert_eq!((job.kind.as_str(), job.queue.as_str()), ("order.ship", "orders"));
    assert_eq!(job.payload.unwrap(), r#"{"number":7}"#);
    assert_eq!(job.headers["origin"], "test");
    assert_eq!(backshift::testing::enqueued::<Order>(&site.client()).await.len(), 2);
}

async fn is_not_there(site: &Backshift, id: JobId) {
    assert_eq!(site.store().find(id).await.unwrap(), None, "the transaction was rolled back");
}

/// What a transaction enqueued is gone when it rolls back, and there when it commits. Libraries share no trait for it.
macro_rules! ends_with_its_transaction {
    ($site:expr, $begin:expr) => {
        let mut tx = $begin;
        let undone = three($site, &mut tx).await;
        tx.rollback().await.unwrap();
        is_not_there($site, undone).await;
        let mut tx = $begin;
        let kept = three($site, &mut tx).await;
        tx.commit().await.unwrap();
        are_there($site, kept).await;
    };
}

#[tokio::test]
async fn sqlx() {
    let (_place, path, site) = embedded().await;
    let pool = ::sqlx::SqlitePool::connect(&format!("sqlite:{path}")).await.unwrap();
    ends_with_its_transaction!(&site, pool.begin().await.unwrap());

    let Some((_database, url, site)) = postgres().await else { return };
    let pool = ::sqlx::PgPool::connect(&url).await.unwrap();
    ends_with_its_transaction!(&site, pool.begin().await.unwrap());
}

#[tokio::test]
async fn sea_orm() {
    use ::sea_orm::{Database, TransactionTrait};
    let (_place, path, lite) = embedded().await;
    let mut places = vec![(format!("sqlite:{path}"), lite)];
    let database = postgres().await;
    places.extend(database.as_ref().map(|(_, url, site)| (url.clone(), site.clone())));
    for (url, site) in places {
        let orm = Database::connect(&url).await.unwrap();
        ends_with_its_transaction!(&site, orm.begin().await.unwrap());
    }
}

#[tokio::test]
async fn diesel_async() {
    use ::diesel_async::{AsyncConnection, AsyncPgConnection};
    use diesel::result::Error;
    let Some((_database, url, site)) = postgres().await else { return };
    let mut connection = AsyncPgConnection::establish(&url).await.unwrap();
    let mut undone = None;
    let rolled_back: Result<(), Error> = connection
        .transaction(async |tx| {
            undone = Some(three(&site, tx).await);
            Err(Error::RollbackTransaction)
        })
        .await;
    assert!(rolled_back.is_err());
    is_not_there(&site, undone.unwrap()).await;
    let kept: Result<JobId, Error> = connection.transaction(async |tx| Ok(three(&site, tx).await)).await;
    are_there(&site, kept.unwrap()).await;
}

#[tokio::test]
async fn tokio_postgres_and_its_pool() {
    let Some((_database, url, site)) = postgres().await else { return };
    let (mut client, connection) = ::tokio_postgres::connect(&url, ::tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut tx = client.transaction().await.unwrap();
    let undone = three(&site, &mut tx).await;
    tx.rollback().await.unwrap();
    is_not_there(&site, undone).await;
    let manager = deadpool_postgres::Manager::new(url.parse().unwrap(), ::tokio_postgres::NoTls);
    let pool = deadpool_postgres::Pool::builder(manager).build().unwrap();
    let mut pooled = pool.get().await.unwrap();
    let mut tx = pooled.transaction().await.unwrap();
    let kept = three(&site, &mut tx).await;
    tx.commit().await.unwrap();
    are_there(&site, kept).await;
    driver.abort();
}

#[tokio::test]
async fn rusqlite() {
    let (_place, path, site) = embedded().await;
    let client = site.client();
    let mut connection = ::rusqlite::Connection::open(&path).unwrap();
    let keyed = || EnqueueOptions::new().unique("order:7");
    let tx = connection.transaction().unwrap();
    let undone = client.enqueue_in_rusqlite(&tx, &Order { number: 7 }, keyed()).unwrap().unwrap();
    tx.rollback().unwrap();
    is_not_there(&site, undone).await;
    let tx = connection.transaction().unwrap();
    let kept = client.enqueue_in_rusqlite(&tx, &Order { number: 7 }, keyed()).unwrap().unwrap();
    assert_eq!(client.enqueue_in_rusqlite(&tx, &Order { number: 8 }, keyed()).unwrap(), None);
    tx.commit().unwrap();
    let rows = backshift::testing::enqueued::<Order>(&client).await;
    assert_eq!((rows.len(), rows[0].record.id, rows[0].job.number), (1, kept, 7));
}

/// A job that stood in a database where nobody looks for it would be lost in silence.
#[tokio::test]
async fn a_transaction_on_another_kind_of_database_than_the_sites_is_refused() {
    let (_place, _, lite) = embedded().await;
    let Some((_database, _, site)) = postgres().await else { return };
    let mut tx = lite.database().begin().await.unwrap();
    let refused = site.client().enqueue_in(&mut tx, &Order { number: 7 }).await.unwrap_err();
    let text = refused.to_string();
    assert!(
        matches!(refused, EnqueueError::Store(StoreError::Rejected(_))) && text.contains("nobody would run"),
        "{text}"
    );
}
