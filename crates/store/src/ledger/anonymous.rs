//! Messages without an id: a redelivered one is matched by its body with one row, and each row answers only once.
//!
//! Unfinished rows come first: the end of a finished one may long be acknowledged, and two equal mails that
//! somebody published are two mails.

use backshift_core::{JobId, StoreError};

use super::both::same;
use super::deliveries::Asked;
use crate::{Database, Durability, Sql, Tx};

/// How long after its end a row may answer for a redelivery, in microseconds: an hour.
const ABSORBS_FOR_US: i64 = 3_600_000_000;

/// `$1` hash, `$2` queue, `$3` broker, `$4` how long ended rows count. `absorbed` is -1 when an ended row has
/// answered, else the token of the start that a redelivery made.
pub(crate) const MATCH: Sql = Sql {
    pg: "SELECT id FROM background_jobs WHERE anonymous AND payload_hash = $1 AND queue = $2 AND broker = $3 \
         AND (status IN ('scheduled', 'available', 'running', 'retrying') OR (COALESCE(absorbed, 0) <> -1 \
         AND finished_at > clock_timestamp() - $4 * interval '1 microsecond')) \
         ORDER BY CASE WHEN status NOT IN ('scheduled', 'available', 'running', 'retrying') THEN 1 \
         WHEN COALESCE(absorbed, 0) < token THEN 0 ELSE 2 END, created_at, id LIMIT 1 FOR UPDATE",
    sqlite: "SELECT id FROM background_jobs WHERE anonymous = 1 AND payload_hash = $1 AND queue = $2 AND broker = $3 \
             AND (status IN ('scheduled', 'available', 'running', 'retrying') OR (COALESCE(absorbed, 0) <> -1 \
             AND finished_at > clock_timestamp() - $4)) \
             ORDER BY CASE WHEN status NOT IN ('scheduled', 'available', 'running', 'retrying') THEN 1 \
             WHEN COALESCE(absorbed, 0) < token THEN 0 ELSE 2 END, created_at, id LIMIT 1",
};

pub(crate) const ABSORB: &str = "UPDATE background_jobs SET absorbed = \
     CASE WHEN status IN ('scheduled', 'available', 'running', 'retrying') THEN token + 1 ELSE -1 END WHERE id = $1";

pub(crate) const STATEMENTS: &[Sql] = &[MATCH, same(ABSORB)];

/// Gives redelivered messages without an id the id of the row that they are.
pub(crate) async fn find_rows(db: &Database, asked: &mut [Asked]) -> Result<(), StoreError> {
    let tx = db.begin_with(Durability::Relaxed).await?;
    for one in asked.iter_mut().filter(|one| one.request.anonymous && one.request.redelivered) {
        if let Some(id) = find_row(&tx, one).await? {
            one.entry.envelope.id = id;
            one.request.matched = true;
        }
    }
    tx.commit().await
}

async fn find_row(tx: &Tx, one: &Asked) -> Result<Option<JobId>, StoreError> {
    let found = tx
        .sql(MATCH)
        .bind(one.entry.hash.clone())
        .bind(&one.entry.envelope.queue)
        .bind(one.request.broker)
        .bind(ABSORBS_FOR_US)
        .optional::<JobId>()
        .await?;
    if let Some(id) = found {
        tx.sql(ABSORB).bind(id).run().await?;
    }
    Ok(found)
}
