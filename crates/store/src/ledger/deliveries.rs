//! Deliveries of foreign brokers ask for their right to run; most are new and need one statement a batch.
//!
//! What has a row already is looked at under a lock: over, held, another payload, or taken (over). A crash is
//! counted when a running row is taken over, because only then is it known.

use std::collections::HashSet;

use backshift_core::{
    JobId, StoreError, Timestamp,
    store::{ClaimRequest, Claimed, Holder, Start},
};

use super::{
    anonymous,
    entry::{Entry, foreign_columns, lease_us},
    takeover,
};
use crate::{
    Column, Database, Durability, Sql, Value,
    sqlite::{self, Connection},
};

/// `$1` worker, `$2` lease; the rest is `foreign_columns`.
pub(crate) const FIRST: Sql = Sql {
    pg: "WITH t AS MATERIALIZED (SELECT clock_timestamp() AS now), \
         started AS (INSERT INTO background_jobs (id, user_id, job_type, status, attempts, created_at, updated_at, \
         queue, broker, payload, payload_hash, payload_size, headers, sensitive, priority, max_attempts, failures, \
         token, worker, lease_until, run_at, published_at, anonymous, started_at, abroad) \
         SELECT r.id, r.user_id, r.job_type, 'running', r.failures + 1, t.now, t.now, r.queue, r.broker, r.payload, \
         r.hash, r.size, r.headers, r.sensitive, r.priority, r.max_attempts, r.failures, 1, $1, \
         t.now + $2 * interval '1 microsecond', t.now, t.now, r.anonymous, t.now, r.queue \
         FROM t, unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::bytea[], \
         $10::bigint[], $11::text[], $12::boolean[], $13::bigint[], $14::bigint[], $15::bigint[], $16::boolean[]) \
         AS r(id, user_id, job_type, queue, broker, payload, hash, size, headers, sensitive, priority, \
         max_attempts, failures, anonymous) ON CONFLICT DO NOTHING \
         RETURNING id, lease_until) SELECT id, lease_until FROM started",
    sqlite: "INSERT INTO background_jobs (id, user_id, job_type, status, attempts, created_at, updated_at, \
             queue, broker, payload, payload_hash, payload_size, headers, sensitive, priority, max_attempts, \
             failures, token, worker, lease_until, run_at, published_at, anonymous, started_at) \
             SELECT $3, $4, $5, 'running', $15 + 1, t.now, t.now, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 1, \
             $1, t.now + $2, t.now, t.now, $16, t.now FROM (SELECT clock_timestamp() AS now LIMIT 1) t WHERE true \
             ON CONFLICT DO NOTHING RETURNING id, lease_until",
};

pub(crate) const STATEMENTS: &[Sql] = &[FIRST];

/// One request on its way to its answer.
pub(crate) struct Asked {
    pub(crate) entry: Entry,
    pub(crate) request: Facts,
    /// Jobs that it cannot be.
    pub(crate) except: Vec<JobId>,
    pub(crate) answer: Option<Claimed>,
}

/// What a request says beside its envelope.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) broker: &'static str,
    pub(crate) redelivered: bool,
    pub(crate) anonymous: bool,
    /// Found by its body: its row exists.
    pub(crate) matched: bool,
}

/// Claims many deliveries; one answer each, in order.
pub(crate) async fn claim(
    db: &Database,
    holder: &Holder,
    batch: Vec<ClaimRequest>,
) -> Result<Vec<Claimed>, StoreError> {
    let mut asked: Vec<Asked> = batch.into_iter().map(Asked::new).collect();
    if asked.iter().any(|one| one.request.anonymous && one.request.redelivered) {
        anonymous::find_rows(db, &mut asked).await?;
    }
    let begun = first_starts(db, holder, &mut asked).await?;
    if asked.iter().any(|one| one.answer.is_none()) {
        takeover::settle(db, holder, &mut asked, begun).await?;
    }
    let unsettled = || StoreError::Unavailable("a claim was not answered; ask again".into());
    asked.into_iter().map(|one| one.answered().ok_or_else(unsettled)).collect()
}

impl Asked {
    fn new(request: ClaimRequest) -> Self {
        let facts = Facts {
            broker: request.broker,
            redelivered: request.redelivered,
            anonymous: request.anonymous,
            matched: false,
        };
        let (entry, except) = (Entry::delivered(request.envelope), request.except);
        Self { entry, request: facts, except, answer: None }
    }

    /// The answer. Of a message that was found by its body, whoever asked does not know yet which job it is.
    fn answered(self) -> Option<Claimed> {
        let (job, matched) = (self.entry.id(), self.request.matched);
        self.answer.map(|answer| match answer {
            Claimed::Run(_) => answer,
            other if matched => Claimed::Known(job, Box::new(other)),
            other => other,
        })
    }

    fn first_start(&self, until: Timestamp) -> Start {
        let envelope = &self.entry.envelope;
        super::job_row::start(envelope, backshift_core::Token(1), until, 0)
    }
}

/// Starts what has no row yet; returns the jobs that were started here.
async fn first_starts(
    db: &Database,
    holder: &Holder,
    asked: &mut [Asked],
) -> Result<HashSet<JobId>, StoreError> {
    let fresh: Vec<_> = asked
        .iter()
        .filter(|one| !one.request.matched)
        .map(|one| (&one.entry, one.request.broker, one.request.anonymous))
        .collect();
    if fresh.is_empty() {
        return Ok(HashSet::new());
    }
    let columns = foreign_columns(&fresh);
    let started: Vec<(JobId, Timestamp)> = match db {
        Database::Pg(_) => {
            let query = db.sql(FIRST).bind(&holder.worker).bind(lease_us(holder));
            query.columns(columns).relaxed().all().await?
        }
        Database::Sqlite(lite) => {
            let values = vec![(&holder.worker).into(), lease_us(holder).into()];
            lite.write(Durability::Relaxed, move |on: &Connection| first_on(on, &values, &columns)).await?
        }
    };
    let mut begun = HashSet::new();
    for (id, until) in started {
        let one =
            asked.iter_mut().find(|one| !one.request.matched && one.answer.is_none() && one.entry.id() == id);
        if let Some(one) = one {
            one.answer = Some(Claimed::Run(one.first_start(until)));
            begun.insert(id);
        }
    }
    Ok(begun)
}

/// On the writer thread.
fn first_on(
    connection: &Connection,
    holder: &[Value],
    columns: &[Column],
) -> Result<Vec<(JobId, Timestamp)>, StoreError> {
    let rows = columns.first().map_or(0, Column::len);
    let mut started = Vec::with_capacity(rows);
    for row in 0..rows {
        let mut values = holder.to_vec();
        values.extend(columns.iter().map(|column| column.row(row)));
        started.extend(sqlite::query::<(JobId, Timestamp)>(connection, FIRST.sqlite, &values)?);
    }
    Ok(started)
}
