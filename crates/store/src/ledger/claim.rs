//! Taking jobs of the SQL brokers: the claim is already the ledger's row, so nothing is written twice.
//!
//! A job that ended its worker three times is never among others: `claim_alone` takes it as its own batch.

use backshift_core::{
    Envelope, QueueName, StoreError, Timestamp,
    store::{Holder, Start},
};
use rusqlite::Connection;
use uuid::Uuid;

use super::{both::only_sqlite, entry::lease_us, job_row::ClaimedRow, lite};
use crate::{Database, Durability, Sql};

macro_rules! claim {
    ($start:literal, $settled:literal) => {
        concat!(
            "WITH settled AS (DELETE FROM job_hands WHERE id = ANY(",
            $settled,
            "::uuid[])) SELECT * FROM ",
            $start,
            " WHERE NOT EXISTS (SELECT 1 FROM job_queues WHERE name = $1 AND paused)"
        )
    };
}

/// `$1` queue, `$2` at most, `$3` worker, `$4` lease in microseconds, `$5` the hand's id, `$6` and `$7` priority and time
/// of the place to go on from, `$8` hands that are settled.
pub(crate) const CLAIM: &str = claim!("backshift_start($1, $2::int, $3, $4::bigint, $5, $6::int, $7)", "$8");

/// The same for one job that must run alone; `$2` is one, and `$6` the hands.
pub(crate) const CLAIM_ALONE: &str =
    claim!("backshift_start_alone($1, $3, $4::bigint + 0 * $2::bigint, $5)", "$6");

/// What a worker that claims again and again tells the database. It is about speed and tidiness only, and PostgreSQL's
/// matter: SQLite needs none of it.
#[derive(Debug, Clone)]
pub struct Round {
    /// The id of the row that says which jobs this claim took: the hand.
    pub hand: Uuid,
    /// Hands whose jobs are all settled. What nobody deletes, the rescuer does.
    pub settled: Vec<Uuid>,
    /// Where the last claim ended; `None` = walk the queue from its beginning, which has to happen now and then.
    pub from: Option<Place>,
}

impl Default for Round {
    fn default() -> Self {
        Self { hand: Uuid::now_v7(), settled: Vec::new(), from: None }
    }
}

/// A place in a queue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The priority of the jobs there.
    pub priority: i16,
    /// Their time.
    pub run_at: Timestamp,
}

const SHARED: Sql = Sql { pg: CLAIM, sqlite: lite::CLAIM };
const ALONE: Sql = Sql { pg: CLAIM_ALONE, sqlite: lite::CLAIM_ALONE };

pub(crate) const STATEMENTS: &[Sql] = &[SHARED, ALONE, only_sqlite(lite::PAUSED)];

/// Takes up to `limit` due jobs of this queue, the most urgent first; none from a paused queue.
pub async fn claim_available(
    db: &Database,
    queue: &QueueName,
    limit: u32,
    holder: &Holder,
) -> Result<Vec<(Envelope, Start)>, StoreError> {
    claim_round(db, queue, limit, holder, &Round::default()).await
}

/// The same as one round of many.
pub async fn claim_round(
    db: &Database,
    queue: &QueueName,
    limit: u32,
    holder: &Holder,
    round: &Round,
) -> Result<Vec<(Envelope, Start)>, StoreError> {
    claim(db, SHARED, queue, limit, holder, round).await
}

/// Takes one job that must run alone in its process, if there is one: nothing else may run beside it.
pub async fn claim_alone(
    db: &Database,
    queue: &QueueName,
    holder: &Holder,
) -> Result<Option<(Envelope, Start)>, StoreError> {
    Ok(claim(db, ALONE, queue, 1, holder, &Round::default()).await?.pop())
}

async fn claim(
    db: &Database,
    statement: Sql,
    queue: &QueueName,
    limit: u32,
    holder: &Holder,
    round: &Round,
) -> Result<Vec<(Envelope, Start)>, StoreError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let limit = limit.min(10_000);
    let mut rows: Vec<ClaimedRow> = match db {
        Database::Pg(_) => {
            let query = db.sql(statement).bind(queue).bind(limit).bind(&holder.worker).bind(lease_us(holder));
            let query = query.bind(round.hand);
            let query = match statement == ALONE {
                true => query,
                false => query
                    .bind(round.from.map(|place| i64::from(place.priority)))
                    .bind(round.from.map(|place| place.run_at)),
            };
            query.column(round.settled.clone()).relaxed().all().await?
        }
        Database::Sqlite(file) => {
            let (queue, worker) = (queue.clone(), holder.worker.clone());
            let take = lite::Take { queue, limit, worker, lease_us: lease_us(holder) };
            let work = move |connection: &Connection| lite::claim_on(connection, statement.sqlite, &take);
            file.write(Durability::Relaxed, work).await?
        }
    };
    rows.sort_unstable_by_key(ClaimedRow::place);
    Ok(rows.into_iter().map(|row| (row.envelope, row.start)).collect())
}
