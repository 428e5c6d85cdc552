//! Deliveries whose job has a row: decided in one place, under the row's lock, for both databases.
//!
//! A row that runs is taken over when its lease is over or the broker says *redelivered*; that counts a crash. A row
//! that took over the unique key of a running job waits for it, and one that is to be tried later waits for its time: the
//! delivery that comes earlier is the original of a copy that the broker did not take. A running job whose message was handed
//! over is the rescuer's alone: no delivery takes it.

use std::collections::HashSet;

use backshift_core::{
    Bytes, JobId, Lease, State, StoreError, Timestamp, Token,
    store::{CRASHES_BEFORE_ALONE, Claimed, Holder, LONELY_CRASHES_BEFORE_DEAD, Start},
};

use super::both::{both, same};
use super::{
    deliveries::Asked,
    entry::{between, lease_us},
    job_row::state,
};
use crate::{Column, Database, Durability, FromRow, Row, Sql, Tx};

pub(crate) const SEE: Sql = Sql {
    pg: "SELECT id, status, token, broker, queue, job_type, payload_hash, lease_until, run_at, crashes, lonely_crashes, \
         superseded OR cancel_requested AS unwanted, published_at IS NULL AS unpublished, clock_timestamp() AS now, \
         CASE WHEN unique_key IS NOT NULL THEN (SELECT max(r.lease_until) FROM background_jobs r \
         WHERE r.leaving = background_jobs.unique_key) END AS waits_until \
         FROM background_jobs WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE",
    sqlite: "SELECT id, status, token, broker, queue, job_type, payload_hash, lease_until, run_at, crashes, lonely_crashes, \
             superseded OR cancel_requested AS unwanted, published_at IS NULL AS unpublished, clock_timestamp() AS now, \
             CASE WHEN unique_key IS NOT NULL THEN (SELECT max(r.lease_until) FROM background_jobs r \
             WHERE r.superseded = 1 AND r.status = 'running' AND r.unique_key = background_jobs.unique_key) END \
             AS waits_until FROM background_jobs WHERE id = $1",
};

/// `$1` worker, `$2` lease, `$3` jobs, `$4` whether a crash is counted.
pub(crate) const TAKE: Sql = Sql {
    pg: "UPDATE background_jobs j SET status = 'running', token = j.token + 1, attempts = j.failures + 1, \
         crashes = j.crashes + f.crashed, \
         lonely_crashes = j.lonely_crashes + CASE WHEN j.crashes >= 3 THEN f.crashed ELSE 0 END, worker = $1, \
         lease_until = clock_timestamp() + $2 * interval '1 microsecond', started_at = clock_timestamp(), \
         updated_at = clock_timestamp(), published_at = COALESCE(j.published_at, clock_timestamp()), \
         unpublished = NULL, aside = NULL \
         FROM unnest($3::uuid[], $4::bigint[]) AS f(id, crashed) WHERE j.id = f.id \
         RETURNING j.id, j.token, j.lease_until, j.attempts, j.crashes, j.max_attempts",
    sqlite: "UPDATE background_jobs SET status = 'running', token = token + 1, attempts = failures + 1, \
             crashes = crashes + $4, lonely_crashes = lonely_crashes + CASE WHEN crashes >= 3 THEN $4 ELSE 0 END, \
             worker = $1, lease_until = clock_timestamp() + $2, started_at = clock_timestamp(), \
             updated_at = clock_timestamp(), published_at = COALESCE(published_at, clock_timestamp()), aside = NULL \
             WHERE id = $3 \
             RETURNING id, token, lease_until, attempts, crashes, max_attempts",
};

/// `$1` worker, `$2` jobs, `$3` tokens, `$4` attempts.
pub(crate) const NOTE: Sql = Sql {
    pg: "INSERT INTO job_attempts (job_id, token, attempt, worker, started_at) \
         SELECT f.id, f.token, f.attempt, $1, clock_timestamp() \
         FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS f(id, token, attempt)",
    sqlite: "INSERT INTO job_attempts (job_id, token, attempt, worker, started_at) \
             VALUES ($2, $3, $4, $1, clock_timestamp())",
};

/// `$1` job, `$2` token. Before anything that starts the job again: the start stands in the job's own row till then.
pub(crate) const CRASHED: &str = "INSERT INTO job_attempts (job_id, token, attempt, worker, started_at, ended_at, \
     outcome, error) SELECT id, token, attempts, COALESCE(worker, '?'), COALESCE(started_at, clock_timestamp()), \
     clock_timestamp(), 'crash', 'the lease ended without a result' FROM background_jobs WHERE id = $1 AND token = $2 \
     ON CONFLICT (job_id, token) DO UPDATE SET \
     ended_at = excluded.ended_at, outcome = excluded.outcome, error = excluded.error";

/// `$2` is `dead` or `cancelled`.
pub(crate) const CLOSE: Sql = both!(
    "UPDATE background_jobs SET status = $2, " closed "crashes = crashes + 1, \
     lonely_crashes = lonely_crashes + CASE WHEN crashes >= 3 THEN 1 ELSE 0 END, \
     reason = CASE WHEN $2 = 'dead' THEN 'crash-loop' END, \
     error_message = CASE WHEN $2 = 'dead' THEN 'crash-loop: ' ELSE '' END || 'the lease ended without a result', \
     finished_at = clock_timestamp(), \
     updated_at = clock_timestamp(), payload = CASE WHEN sensitive THEN NULL ELSE payload END WHERE id = $1"
);

pub(crate) const STATEMENTS: &[Sql] = &[SEE, TAKE, NOTE, same(CRASHED), CLOSE];

struct Seen {
    id: JobId,
    state: State,
    token: Token,
    broker: String,
    queue: String,
    kind: String,
    hash: Option<Bytes>,
    until: Option<Timestamp>,
    run_at: Timestamp,
    crashes: u32,
    lonely: u32,
    unwanted: bool,
    /// The broker has no message of it: of a running job, because the ledger keeps it.
    unpublished: bool,
    now: Timestamp,
    /// The job whose unique key this one took over runs until then at the latest.
    waits_until: Option<Timestamp>,
}

impl FromRow for Seen {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get("id")?,
            state: state(&row.get::<String>("status")?),
            token: row.get("token")?,
            broker: row.get("broker")?,
            queue: row.get("queue")?,
            kind: row.get("job_type")?,
            hash: row.get("payload_hash")?,
            until: row.get("lease_until")?,
            run_at: row.get("run_at")?,
            crashes: row.get("crashes")?,
            lonely: row.get("lonely_crashes")?,
            unwanted: row.get("unwanted")?,
            unpublished: row.get("unpublished")?,
            now: row.get("now")?,
            waits_until: row.get("waits_until")?,
        })
    }
}

impl Seen {
    /// Whether a delivery is one of this job. Its id alone proves nothing: whoever may publish anywhere can write any id,
    /// and would steer the job that has it. A row that never had a payload cannot vouch for one.
    fn is_the_job_of(&self, one: &Asked) -> bool {
        let envelope = &one.entry.envelope;
        self.hash.as_ref() == Some(&one.entry.hash)
            && self.broker == one.request.broker
            && self.queue == envelope.queue.as_str()
            && self.kind == envelope.kind.as_str()
    }
}

/// What is to be done about a delivery whose row was seen.
enum Decision {
    Answer(Claimed),
    Take,
    TakeOver,
    Close(State),
}

/// Answers what is still unanswered. `begun` are jobs that this very call has started already.
pub(crate) async fn settle(
    db: &Database,
    holder: &Holder,
    asked: &mut [Asked],
    mut begun: HashSet<JobId>,
) -> Result<(), StoreError> {
    let mut ids: Vec<JobId> = asked.iter().filter(|a| a.answer.is_none()).map(|a| a.entry.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    let tx = db.begin_with(Durability::Relaxed).await?;
    let rows: Vec<Seen> = tx.sql(SEE).column(ids).all().await?;
    let (mut takes, mut crashes) = (Vec::new(), Vec::new());
    for (place, one) in asked.iter_mut().enumerate().filter(|(_, one)| one.answer.is_none()) {
        let Some(row) = rows.iter().find(|row| row.id == one.entry.id()) else { continue };
        if begun.contains(&row.id) {
            one.answer = Some(Claimed::Held(holder.lease));
            continue;
        }
        match decide(row, one) {
            Decision::Answer(answer) => one.answer = Some(answer),
            Decision::Take => takes.push((place, row.id, 0_i64)),
            Decision::TakeOver => {
                takes.push((place, row.id, 1));
                crashes.push((row.id, row.token));
            }
            Decision::Close(state) => {
                tx.sql(CLOSE).bind(row.id).bind(state.as_str()).run().await?;
                crashes.push((row.id, row.token));
                one.answer = Some(Claimed::Over(state));
            }
        }
        begun.insert(row.id);
    }
    for (id, token) in crashes {
        tx.sql(CRASHED).bind(id).bind(token).run().await?;
    }
    take(&tx, holder, asked, &takes).await?;
    tx.commit().await
}

fn decide(row: &Seen, one: &Asked) -> Decision {
    if !row.is_the_job_of(one) {
        return Decision::Answer(Claimed::Conflict);
    }
    if row.state.is_final() {
        return Decision::Answer(Claimed::Over(row.state));
    }
    if matches!(row.state, State::Retrying | State::Scheduled) && row.run_at > row.now {
        return Decision::Answer(Claimed::Early(between(row.now, row.run_at)));
    }
    if row.state != State::Running {
        return match row.waits_until.filter(|until| *until > row.now) {
            Some(until) => Decision::Answer(Claimed::Held(between(row.now, until))),
            None => Decision::Take,
        };
    }
    if row.unpublished {
        // Its acknowledgement was lost. Whatever becomes of the job, the ledger brings it back.
        return Decision::Answer(Claimed::Kept);
    }
    let until = row.until.unwrap_or(row.now);
    if until > row.now && !one.request.redelivered {
        return Decision::Answer(Claimed::Held(between(row.now, until)));
    }
    let lonely = row.crashes >= CRASHES_BEFORE_ALONE;
    match (row.unwanted, lonely && row.lonely + 1 >= LONELY_CRASHES_BEFORE_DEAD) {
        (true, _) => Decision::Close(State::Cancelled),
        (false, true) => Decision::Close(State::Dead),
        (false, false) => Decision::TakeOver,
    }
}

type Taken = (JobId, Token, Timestamp, u32, u32, Option<u32>);

async fn take(
    tx: &Tx,
    holder: &Holder,
    asked: &mut [Asked],
    takes: &[(usize, JobId, i64)],
) -> Result<(), StoreError> {
    if takes.is_empty() {
        return Ok(());
    }
    let jobs = Column::from(takes.iter().map(|(_, id, _)| *id).collect::<Vec<_>>());
    let crashed = Column::from(takes.iter().map(|(.., crashed)| *crashed).collect::<Vec<_>>());
    let query = tx.sql(TAKE).bind(&holder.worker).bind(lease_us(holder)).columns([jobs, crashed]);
    let taken: Vec<Taken> = query.all().await?;
    let note = [
        Column::from(taken.iter().map(|row| row.0).collect::<Vec<_>>()),
        Column::from(taken.iter().map(|row| row.1).collect::<Vec<_>>()),
        Column::from(taken.iter().map(|row| row.3).collect::<Vec<_>>()),
    ];
    tx.sql(NOTE).bind(&holder.worker).columns(note).run().await?;
    for (job, token, until, attempt, crashes, max_attempts) in taken {
        let Some((place, ..)) = takes.iter().find(|(_, id, _)| *id == job) else { continue };
        let Some(one) = asked.get_mut(*place) else { continue };
        let max_attempts = max_attempts.or(one.entry.envelope.max_attempts);
        let starts = u32::try_from(token.0).unwrap_or(u32::MAX);
        let lease = Lease { job, token, until, claim: None };
        one.answer = Some(Claimed::Run(Start { lease, attempt, starts, crashes, max_attempts }));
    }
    Ok(())
}
