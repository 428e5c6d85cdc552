//! Running jobs of a foreign broker whose message is let go while they run: from then on the lease in the row holds them.
//!
//! The mark is `published_at IS NULL` beside `running`: the broker has nothing of the job. The rescuer brings it back when
//! the lease ends, the relay publishes what is to run again or to be buried. A body that must not be kept is never written
//! here, so such a job stays with its broker.

use backshift_core::{JobId, StoreError, store::HandOver};

use crate::{
    Column, Database, Durability, Sql,
    sqlite::{self, Connection},
};

/// `$1` jobs, `$2` tokens, `$3` bodies; one of each on SQLite. A hand says who runs them: the rescuer looks at hands only.
pub(crate) const HAND_OVER: Sql = Sql {
    pg: "WITH kept AS (UPDATE background_jobs j SET payload = COALESCE(j.payload, f.payload), published_at = NULL, \
         publish_hold_until = clock_timestamp() \
         FROM unnest((SELECT $1::uuid[]), $2::bigint[], $3::bytea[]) AS f(id, token, payload) \
         WHERE j.id = f.id AND j.token = f.token AND j.status = 'running' AND j.broker <> 'postgres' \
         AND NOT j.sensitive AND NOT j.anonymous AND strpos(COALESCE(j.headers, ''), '\"backshift-body-not-kept\"') = 0 \
         AND length(COALESCE(j.payload, f.payload)) = j.payload_size RETURNING j.id, j.token, j.worker, \
         j.started_at, j.lease_until), \
         noted AS (INSERT INTO job_claims (id, worker, started_at, lease_until, jobs, tokens) SELECT gen_random_uuid(), \
         COALESCE(worker, '?'), COALESCE(min(started_at), clock_timestamp()), COALESCE(min(lease_until), clock_timestamp()), \
         array_agg(id), array_agg(token) FROM kept GROUP BY worker) \
         SELECT id FROM kept",
    sqlite: "UPDATE background_jobs SET payload = COALESCE(payload, $3), published_at = NULL, \
             publish_hold_until = clock_timestamp() WHERE id = $1 AND token = $2 AND status = 'running' \
             AND broker <> 'embedded' AND NOT sensitive AND NOT anonymous \
             AND instr(COALESCE(headers, ''), '\"backshift-body-not-kept\"') = 0 \
             AND length(COALESCE(payload, $3)) = payload_size RETURNING id",
};

pub(crate) const STATEMENTS: &[Sql] = &[HAND_OVER];

/// Takes them over; for each whether it did. On disk before it is answered: the messages are acknowledged next.
pub(crate) async fn hand_over(db: &Database, mut jobs: Vec<HandOver>) -> Result<Vec<bool>, StoreError> {
    let asked: Vec<JobId> = jobs.iter().map(|job| job.lease.job).collect();
    // In the order of ids, so that two batches cannot wait for each other.
    jobs.sort_unstable_by_key(|job| job.lease.job);
    let kept: Vec<JobId> = match db {
        _ if jobs.is_empty() => Vec::new(),
        Database::Pg(_) => {
            let columns = [
                Column::Uuids(jobs.iter().map(|job| Some(job.lease.job.0)).collect()),
                Column::Ints(jobs.iter().map(|job| Some(job.lease.token.0)).collect()),
                Column::Bytes(jobs.into_iter().map(|job| Some(job.payload)).collect()),
            ];
            db.sql(HAND_OVER).columns(columns).all().await?
        }
        Database::Sqlite(file) => {
            file.write(Durability::Strict, move |on: &Connection| hand_over_on(on, &jobs)).await?
        }
    };
    Ok(asked.iter().map(|job| kept.contains(job)).collect())
}

/// On the writer thread.
fn hand_over_on(connection: &Connection, jobs: &[HandOver]) -> Result<Vec<JobId>, StoreError> {
    let mut kept = Vec::new();
    for job in jobs {
        let values = [job.lease.job.into(), job.lease.token.into(), job.payload.clone().into()];
        kept.extend(sqlite::query::<JobId>(connection, HAND_OVER.sqlite, &values)?);
    }
    Ok(kept)
}
