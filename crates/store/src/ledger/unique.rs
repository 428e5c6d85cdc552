//! At most one unfinished job a key: what happens to the second one.
//!
//! A running job that a later one supersedes gives up its seat and keeps running; it ends as cancelled instead of
//! waiting again, and its successor is not claimed before that.

use backshift_core::{JobId, State, StoreError, UniquePolicy};

use super::{
    both::{both, same},
    entry::Entry,
    taken,
};
use crate::{Sql, Tx};

pub(crate) const HOLDER: Sql = Sql {
    pg: "SELECT id, status, broker = 'postgres' OR published_at IS NULL FROM background_jobs \
         WHERE seat = $1 FOR UPDATE",
    sqlite: "SELECT id, status, broker = 'embedded' OR published_at IS NULL FROM background_jobs \
             WHERE unique_key = $1 AND unique_key IS NOT NULL AND superseded = 0 \
             AND status IN ('scheduled', 'available', 'running', 'retrying')",
};

/// The order of the values is `Entry::replacement`.
pub(crate) const REPLACE: &str = "UPDATE background_jobs SET payload = $2, payload_hash = $3, payload_size = $4, \
     headers = $5, sensitive = $6, priority = $7, max_attempts = $8, \
     status = CASE WHEN $9 > clock_timestamp() THEN 'scheduled' ELSE 'available' END, \
     run_at = COALESCE($9, clock_timestamp()), user_id = $10, aside = NULL, updated_at = clock_timestamp() \
     WHERE id = $1 AND status IN ('scheduled', 'available', 'retrying')";

pub(crate) const DISPLACE: Sql = both!(
    "UPDATE background_jobs SET status = 'cancelled', aside = NULL, " cancelled "\
     note = 'superseded by a later job with its unique key', finished_at = clock_timestamp(), \
     updated_at = clock_timestamp(), payload = CASE WHEN sensitive THEN NULL ELSE payload END \
     WHERE id = $1 AND status IN ('scheduled', 'available', 'retrying')"
);

pub(crate) const SUPERSEDE: Sql = both!(
    "UPDATE background_jobs SET superseded = true, " leaving "updated_at = clock_timestamp() \
     WHERE id = $1 AND status = 'running'"
);

pub(crate) const STATEMENTS: &[Sql] = &[HOLDER, same(REPLACE), DISPLACE, SUPERSEDE];

/// Makes room for a job; `Some` = the job that holds the key stays and nothing is to be inserted.
pub(crate) async fn make_room(tx: &Tx, entry: &Entry) -> Result<Option<JobId>, StoreError> {
    let Some(unique) = &entry.envelope.unique else { return Ok(None) };
    let ask = || tx.sql(HOLDER).bind(&unique.key).optional::<(JobId, String, bool)>();
    let Some((holder, mut status, still_here)) = ask().await? else { return Ok(None) };
    if status == State::Available.as_str() && unique.policy != UniquePolicy::Reject {
        taken::show_starts(tx, &[holder]).await?;
        let Some((_, by_now, _)) = ask().await? else { return Ok(None) };
        status = by_now;
    }
    let running = status == State::Running.as_str();
    match unique.policy {
        UniquePolicy::Reject => Ok(Some(holder)),
        UniquePolicy::Replace => {
            // What a foreign broker already carries can no longer be changed.
            if !running && still_here {
                let values = entry.replacement().into_iter();
                values.fold(tx.sql(REPLACE).bind(holder), |query, value| query.bind(value)).run().await?;
            }
            Ok(Some(holder))
        }
        UniquePolicy::KeepLast => {
            tx.sql(if running { SUPERSEDE } else { DISPLACE }).bind(holder).run().await?;
            Ok(None)
        }
    }
}
