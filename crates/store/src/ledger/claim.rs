//! Taking jobs of the SQL brokers: the claim is already the ledger's row, so nothing is written twice.
//!
//! A job that ended its worker three times is never among others: `claim_alone` takes it as its own batch.

use backshift_core::{
    Envelope, Kind, Kinds, Lease, QueueName, StoreError, Timestamp,
    store::{Holder, Start},
};
use uuid::Uuid;

use super::{both::only_sqlite, entry::lease_us, job_row::ClaimedRow, lite};
use crate::{Database, Dialect, Durability, Executor, Query, Sql, sqlite::Connection};

macro_rules! claim {
    ($start:literal, $settled:literal) => {
        concat!(
            "WITH settled AS (DELETE FROM job_claims WHERE id IN (SELECT id FROM job_claims WHERE id = ANY(",
            $settled,
            "::uuid[]) FOR UPDATE SKIP LOCKED)) SELECT * FROM ",
            $start,
            " WHERE NOT EXISTS (SELECT 1 FROM job_queues WHERE name = $1 AND paused)"
        )
    };
}

/// `$1` queue, `$2` at most, `$3` worker, `$4` lease in microseconds, `$5` the hand's id, `$6` and `$7` priority and time
/// of the place to go on from, `$8` hands that are settled.
pub(crate) const CLAIM: &str =
    claim!("backshift_start($1, $2::int, $3, $4::bigint, $5, $6::int, $7, NULL)", "$8");

/// The claim of a worker that may not know every kind: `$6` what it knows, comma-separated, `$7` hands.
pub(crate) const CLAIM_KNOWN: &str =
    claim!("backshift_start_known($1, $2::int, $3, $4::bigint, $5, string_to_array($6, ','))", "$7");

/// The same for one job that must run alone; `$2` is one.
pub(crate) const CLAIM_ALONE: &str =
    claim!("backshift_start_alone($1, $3, $4::bigint + 0 * $2::bigint, $5, string_to_array($6, ','))", "$7");

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
    /// Take only these kinds, put others that are met aside, and look at what was put aside; `None` = whatever stands in
    /// the line. That walks from the beginning.
    pub kinds: Option<Kinds>,
}

impl Default for Round {
    fn default() -> Self {
        Self { hand: Uuid::now_v7(), settled: Vec::new(), from: None, kinds: None }
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

/// Takes the one seat of the fleet for a job of a foreign broker: `$1` job, `$2` token. No row = somebody sits there.
pub(crate) const TAKE_SEAT: Sql =
    Sql { pg: "SELECT 1 WHERE backshift_take_alone($1, $2::bigint)", sqlite: lite::TAKE_SEAT };

const SHARED: Sql = Sql { pg: CLAIM, sqlite: lite::CLAIM };
const KNOWN: Sql = Sql { pg: CLAIM_KNOWN, sqlite: lite::CLAIM_PLACES };
const ALONE: Sql = Sql { pg: CLAIM_ALONE, sqlite: lite::CLAIM_ALONE };

pub(crate) const STATEMENTS: &[Sql] = &[
    SHARED,
    KNOWN,
    ALONE,
    TAKE_SEAT,
    only_sqlite(lite::PAUSED),
    only_sqlite(lite::PUT_ASIDE),
    only_sqlite(lite::PUT_ALONE_ASIDE),
    only_sqlite(lite::ANY_ASIDE),
    only_sqlite(lite::FIRST_IN_LINE),
    only_sqlite(lite::FIRST_ASIDE),
];

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
    let statement = if round.kinds.is_some() { KNOWN } else { SHARED };
    claim(db, statement, queue, limit, holder, round).await
}

/// Takes one job of these kinds that must run alone in its process, if there is one and no other one runs in the whole
/// fleet: nothing else may run beside it. `None` = any kind.
pub async fn claim_alone(
    db: &Database,
    queue: &QueueName,
    holder: &Holder,
    kinds: Option<&Kinds>,
) -> Result<Option<(Envelope, Start)>, StoreError> {
    let round = Round { kinds: kinds.cloned(), ..Round::default() };
    Ok(claim(db, ALONE, queue, 1, holder, &round).await?.pop())
}

/// Takes the one seat of the fleet for a job of a foreign broker that must run alone; `false` = another such job runs.
pub(crate) async fn take_seat(db: &Database, lease: Lease) -> Result<bool, StoreError> {
    Ok(db.sql(TAKE_SEAT).bind(lease.job).bind(lease.token).optional::<i64>().await?.is_some())
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
        Database::Pg(_) => on_pg(db, statement, queue, limit, holder, round).relaxed().all().await?,
        Database::Sqlite(file) => {
            let (queue, worker) = (queue.clone(), holder.worker.clone());
            let kinds = round.kinds.clone();
            let take = lite::Take { queue, limit, worker, lease_us: lease_us(holder), kinds };
            let alone = statement == ALONE;
            let work = move |connection: &Connection| match alone {
                true => lite::claim_alone_on(connection, &take),
                false => lite::claim_on(connection, &take),
            };
            file.write(Durability::Relaxed, work).await?
        }
    };
    rows.sort_unstable_by_key(ClaimedRow::place);
    let claim = (db.dialect() == Dialect::Postgres).then_some(round.hand);
    let started = rows.into_iter().map(|ClaimedRow { envelope, start, .. }| {
        let lease = Lease { claim, ..start.lease };
        (envelope, Start { lease, ..start })
    });
    Ok(started.collect())
}

fn on_pg<'a>(
    db: &'a Database,
    statement: Sql,
    queue: &QueueName,
    limit: u32,
    holder: &Holder,
    round: &Round,
) -> Query<'a> {
    let query = db.sql(statement).bind(queue).bind(limit).bind(&holder.worker).bind(lease_us(holder));
    let query = query.bind(round.hand);
    if statement == SHARED {
        let from = round.from;
        let query = query.bind(from.map(|place| i64::from(place.priority)));
        return query.bind(from.map(|place| place.run_at)).column(round.settled.clone());
    }
    query.bind(round.kinds.as_ref().map(names)).column(round.settled.clone())
}

/// Names of kinds hold no comma.
pub(crate) fn names(kinds: &Kinds) -> String {
    kinds.iter().map(Kind::as_str).collect::<Vec<_>>().join(",")
}
