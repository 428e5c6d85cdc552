//! Messages without an id: a redelivered one is matched by its body with one row whose message may still be in the broker.
//!
//! Unfinished rows come first: the end of a finished one may long be acknowledged, and two equal mails that
//! somebody published are two mails. An ended row answers until its message is known to be gone, because a message that
//! cannot be settled comes again and again.

use backshift_core::{JobId, StoreError};

use super::both::both;
use super::deliveries::Asked;
use crate::{Column, Database, Dialect, Durability, Executor, Sql, Tx};

/// How long after its end a row may answer for a redelivery, in microseconds: an hour.
const ABSORBS_FOR_US: i64 = 3_600_000_000;

/// `$1` hash, `$2` queue, `$3` broker, `$4` how long ended rows count, `$5` the delivery's own id (a claim whose answer
/// was lost has made that row), `$6` jobs that it cannot be. `absorbed` is -1 when the message is gone, else it exceeds
/// the token by the number of redeliveries that were matched and started nothing.
pub(crate) const MATCH: Sql = Sql {
    pg: "SELECT id FROM background_jobs WHERE anonymous AND payload_hash = $1 AND queue = $2 AND broker = $3 \
         AND COALESCE(absorbed, 0) <> -1 AND NOT (id = ANY($6::uuid[])) \
         AND (status IN ('scheduled', 'available', 'running', 'retrying') \
         OR finished_at > clock_timestamp() - $4 * interval '1 microsecond') \
         ORDER BY id <> $5, CASE WHEN status IN ('scheduled', 'available', 'running', 'retrying') THEN 0 ELSE 1 END, \
         COALESCE(absorbed, 0) - token, created_at, id LIMIT 1 FOR UPDATE",
    sqlite: "SELECT id FROM background_jobs WHERE anonymous = 1 AND payload_hash = $1 AND queue = $2 AND broker = $3 \
             AND COALESCE(absorbed, 0) <> -1 AND id NOT IN (SELECT value FROM json_each($6)) \
             AND (status IN ('scheduled', 'available', 'running', 'retrying') \
             OR finished_at > clock_timestamp() - $4) \
             ORDER BY id <> $5, CASE WHEN status IN ('scheduled', 'available', 'running', 'retrying') THEN 0 ELSE 1 END, \
             COALESCE(absorbed, 0) - token, created_at, id LIMIT 1",
};

/// Equal messages are matched one after the other, whoever asks: `$1` hashes, in the order in which everybody takes them. Two
/// at once would both wait for the row that stands first and both get it; the other message's job would be nobody's. The
/// locked row may not simply be passed over either: who has it may be a heartbeat, and the message would become a second job.
/// On SQLite a transaction is alone.
pub(crate) const ONE_BY_ONE: Sql = Sql {
    pg: "SELECT pg_advisory_xact_lock(h.turn) FROM (SELECT DISTINCT hashtextextended(current_schema() || '.same:' \
         || encode(w.hash, 'hex'), 0) AS turn FROM unnest($1::bytea[]) AS w(hash) ORDER BY 1) h",
    sqlite: "SELECT 1 WHERE $1 IS NOT NULL",
};

pub(crate) const ABSORB: Sql = both!(
    "UPDATE background_jobs SET absorbed = " greatest "(COALESCE(absorbed, 0), token) + 1 WHERE id = $1"
);

/// `$1`: jobs.
pub(crate) const GONE: Sql = Sql {
    pg: "UPDATE background_jobs SET absorbed = -1 WHERE id = ANY($1::uuid[]) AND anonymous",
    sqlite: "UPDATE background_jobs SET absorbed = -1 WHERE id = $1 AND anonymous = 1",
};

pub(crate) const STATEMENTS: &[Sql] = &[ONE_BY_ONE, MATCH, ABSORB, GONE];

/// Gives redelivered messages without an id the id of the row that they are.
pub(crate) async fn find_rows(db: &Database, asked: &mut [Asked]) -> Result<(), StoreError> {
    let again = |one: &Asked| one.request.anonymous && one.request.redelivered;
    let tx = db.begin_with(Durability::Relaxed).await?;
    if let Database::Pg(_) = db {
        let hashes = asked.iter().filter(|one| again(one)).map(|one| one.entry.hash.clone());
        tx.sql(ONE_BY_ONE).column(hashes.collect::<Vec<_>>()).run().await?;
    }
    let mut found = Vec::new();
    for one in asked.iter_mut().filter(|one| again(one)) {
        if let Some(id) = find_row(&tx, one, &found).await? {
            one.entry.envelope.id = id;
            one.request.matched = true;
            found.push(id);
        }
    }
    tx.commit().await
}

/// The messages of these jobs are settled.
pub(crate) async fn gone(db: &Database, jobs: Vec<JobId>) -> Result<(), StoreError> {
    if jobs.is_empty() {
        return Ok(());
    }
    db.sql(GONE).column(Column::from(jobs)).relaxed().run().await.map(drop)
}

async fn find_row(tx: &Tx, one: &Asked, found: &[JobId]) -> Result<Option<JobId>, StoreError> {
    let except: Vec<JobId> = one.except.iter().chain(found).copied().collect();
    let query = tx.sql(MATCH).bind(one.entry.hash.clone()).bind(&one.entry.envelope.queue);
    let query = query.bind(one.request.broker).bind(ABSORBS_FOR_US).bind(one.entry.id());
    let query = match tx.dialect() {
        Dialect::Postgres => query.column(Column::from(except)),
        Dialect::Sqlite => query.bind(serde_json::to_string(&except).unwrap_or_else(|_| "[]".into())),
    };
    let found = query.optional::<JobId>().await?;
    if let Some(id) = found {
        tx.sql(ABSORB).bind(id).run().await?;
    }
    Ok(found)
}
