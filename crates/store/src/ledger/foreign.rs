//! The two statements that a transaction of any library can carry: one text parameter, a JSON array of objects.
//!
//! They use only what a plain connection has: no function of our own, no RETURNING. On SQLite that is 3.42 or newer.

use super::{
    large::large_abroad,
    taken::{holds, shown},
};
use crate::Sql;

/// Accepts jobs: `[{id, kind, queue, broker, payload, payload_hash, payload_size, headers, sensitive, attempt,
/// max_attempts, priority, run_at, unique_key, unique_policy, idempotency_key, user_id}]`, bytes in hexadecimal,
/// times in microseconds. A job whose id or key is known or held adds nothing.
pub const ENQUEUE_JSON: Sql = Sql {
    pg: "INSERT INTO background_jobs (id, user_id, job_type, status, created_at, updated_at, queue, broker, \
         payload, payload_hash, payload_size, headers, sensitive, priority, max_attempts, failures, run_at, \
         unique_key, unique_policy, idempotency_key, publish_hold_until, seat, abroad, unpublished) \
         SELECT r.id, r.user_id, r.kind, CASE WHEN r.due > r.now THEN 'scheduled' ELSE 'available' END, \
         r.now + r.n * interval '1 microsecond', r.now, r.queue, r.broker, decode(r.payload, 'hex'), \
         decode(r.payload_hash, 'hex'), r.payload_size, NULLIF(r.headers::text, '{}'), r.sensitive, r.priority, \
         r.max_attempts, GREATEST(r.attempt - 1, 0), \
         CASE WHEN r.due > r.now THEN r.due ELSE r.now + r.n * interval '1 microsecond' END, \
         r.unique_key, r.unique_policy, r.idempotency_key, r.now, r.unique_key, \
         CASE WHEN r.broker <> 'postgres' THEN r.queue END, CASE WHEN r.broker <> 'postgres' THEN r.broker END \
         FROM (SELECT j.*, t.now, row_number() OVER () AS n, \
         timestamptz 'epoch' + j.run_at * interval '1 microsecond' AS due \
         FROM (SELECT clock_timestamp() AS now) t, json_to_recordset($1::text::json) AS j(id uuid, kind text, \
         queue text, broker text, payload text, payload_hash text, payload_size bigint, headers json, \
         sensitive boolean, attempt integer, max_attempts integer, priority smallint, run_at bigint, \
         unique_key text, unique_policy text, idempotency_key text, user_id uuid)) r \
         ON CONFLICT DO NOTHING",
    sqlite: "INSERT INTO background_jobs (id, user_id, job_type, status, created_at, updated_at, queue, broker, \
             payload, payload_hash, payload_size, headers, sensitive, priority, max_attempts, failures, run_at, \
             unique_key, unique_policy, idempotency_key, publish_hold_until) \
             SELECT j ->> 'id', j ->> 'user_id', j ->> 'kind', \
             CASE WHEN j ->> 'run_at' > now THEN 'scheduled' ELSE 'available' END, now + n, now, j ->> 'queue', \
             j ->> 'broker', unhex(j ->> 'payload'), unhex(j ->> 'payload_hash'), j ->> 'payload_size', \
             NULLIF(j ->> 'headers', '{}'), j ->> 'sensitive', j ->> 'priority', j ->> 'max_attempts', \
             MAX((j ->> 'attempt') - 1, 0), CASE WHEN j ->> 'run_at' > now THEN j ->> 'run_at' ELSE now + n END, \
             j ->> 'unique_key', j ->> 'unique_policy', j ->> 'idempotency_key', now \
             FROM (SELECT e.value AS j, e.key AS n, t.now AS now FROM json_each($1) e, \
             (SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) * 1000 AS now) t) WHERE true \
             ON CONFLICT DO NOTHING",
};

/// Completes running jobs: `[{id, token, claim, output, note}]`. Fewer changed rows than asked for = a lease is over.
pub const FINISH_JSON: Sql = Sql {
    pg: concat!(
        "UPDATE background_jobs j SET status = 'completed', finished_at = clock_timestamp(), \
         updated_at = clock_timestamp(), error_message = NULL, error_fingerprint = NULL, \
         output = decode(f.output, 'hex'), note = f.note, ",
        shown!(),
        ", payload = CASE WHEN j.sensitive OR (",
        large_abroad!(pg),
        ") THEN NULL ELSE j.payload END, \
         seat = NULL, leaving = NULL, abroad = NULL \
         FROM json_to_recordset($1::text::json) AS f(id uuid, token bigint, claim uuid, output text, note text) \
         LEFT JOIN job_claims c ON c.id = f.claim WHERE j.id = f.id AND ",
        holds!("j", "f.token", " AND c.id IS NOT NULL")
    ),
    sqlite: concat!(
        "UPDATE background_jobs SET status = 'completed', \
             finished_at = CAST(round(unixepoch('subsec') * 1000) AS INTEGER) * 1000, \
             updated_at = CAST(round(unixepoch('subsec') * 1000) AS INTEGER) * 1000, error_message = NULL, \
             error_fingerprint = NULL, output = unhex(f.value ->> 'output'), note = f.value ->> 'note', \
             payload = CASE WHEN sensitive OR (",
        large_abroad!(sqlite),
        ") THEN NULL ELSE payload END \
             FROM json_each($1) f WHERE background_jobs.id = f.value ->> 'id' \
             AND background_jobs.token = f.value ->> 'token' AND background_jobs.status = 'running'"
    ),
};

pub(crate) const STATEMENTS: &[Sql] = &[ENQUEUE_JSON, FINISH_JSON];
