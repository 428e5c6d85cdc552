//! Jobs that a claim took and nobody has written into their rows yet: only PostgreSQL's ledger has them.
//!
//! A claim takes a job out of the line and notes itself in `job_claims`; the job's row says `available` under the token before, until
//! its end or its first heartbeat writes it. So "waits and has no place in the line" means that it runs. Whoever reads a state
//! says so ([`state_of!`]), whoever settles takes both forms ([`holds!`]), and whoever changes jobs by their state has the starts
//! written first ([`show_starts`]).

use backshift_core::{JobId, JobRecord, State, StoreError, Timestamp, Token};

use crate::{Column, Dialect, Executor, Sql, Tx};

/// Whether this row is the job's that runs under this token, written or not. Who writes the row names the claim too, and it must be
/// there: a crash of the server may have undone it, and then somebody else may have the job.
macro_rules! holds {
    ($row:literal, $token:literal) => {
        $crate::ledger::taken::holds!($row, $token, "")
    };
    ($row:literal, $token:literal, $noted:literal) => {
        concat!(
            "((",
            $row,
            ".status = 'running' AND ",
            $row,
            ".token = ",
            $token,
            ") OR (",
            $row,
            ".status = 'available' AND ",
            $row,
            ".token = ",
            $token,
            " - 1 AND ",
            $row,
            ".broker = 'postgres'",
            $noted,
            "))"
        )
    };
}

/// Writes the start `f` of the row `j` whose claim is `c`, unless the row says it already. `shown!(f)`: the claim's columns are in `f`.
macro_rules! shown {
    () => {
        $crate::ledger::taken::shown!(@ "c")
    };
    (f) => {
        $crate::ledger::taken::shown!(@ "f")
    };
    (@ $claim:literal) => {
        concat!(
            "token = f.token, attempts = j.failures + 1, worker = CASE WHEN j.status = 'running' THEN j.worker ELSE ",
            $claim,
            ".worker END, started_at = CASE WHEN j.status = 'running' THEN j.started_at ELSE ",
            $claim,
            ".started_at END"
        )
    };
}

/// Whether a row of PostgreSQL's ledger waits by its own words and has no place in the line: somebody runs it.
macro_rules! taken {
    () => {
        "(status = 'available' AND broker = 'postgres' \
         AND (SELECT l.id FROM job_line l WHERE l.id = background_jobs.id) IS NULL)"
    };
}

/// What a row's state is, by its own words or by the line's.
macro_rules! state_of {
    () => {
        concat!("CASE WHEN ", $crate::ledger::taken::taken!(), " THEN 'running' ELSE status END")
    };
}

pub(crate) use holds;
pub(crate) use shown;
pub(crate) use state_of;
pub(crate) use taken;

/// `$1` jobs, whose rows the caller has locked.
pub(crate) const SHOW_STARTS: &str = "SELECT backshift_show_starts($1::uuid[])::text";

/// Who runs jobs that no row says yet: `$1` jobs.
pub(crate) const STARTS: &str = "SELECT s.job, s.token, h.worker, h.started_at, h.lease_until \
     FROM job_claims h CROSS JOIN LATERAL unnest(h.jobs, h.tokens) AS s(job, token) WHERE s.job = ANY($1::uuid[])";

const fn only_pg(text: &'static str) -> Sql {
    Sql { pg: text, sqlite: "SELECT 1" }
}

pub(crate) const STATEMENTS: &[Sql] = &[only_pg(SHOW_STARTS), only_pg(STARTS)];

/// Has the starts of these jobs written into their rows, which the caller has locked. SQLite's rows always say it.
pub(crate) async fn show_starts(tx: &Tx, jobs: &[JobId]) -> Result<(), StoreError> {
    if tx.dialect() == Dialect::Postgres && !jobs.is_empty() {
        tx.sql(SHOW_STARTS).column(Column::from(jobs.to_vec())).all::<Option<String>>().await?;
    }
    Ok(())
}

/// Completes records whose rows do not say who runs them.
pub(crate) async fn told(on: &impl Executor, jobs: &mut [JobRecord]) -> Result<(), StoreError> {
    type Begun = (JobId, Token, String, Timestamp, Timestamp);
    let ids: Vec<JobId> = jobs.iter().filter(|job| is_untold(job)).map(|job| job.id).collect();
    if ids.is_empty() || on.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    for (id, token, worker, started_at, lease_until) in
        on.sql(STARTS).column(Column::from(ids)).all::<Begun>().await?
    {
        let told = |job: &&mut JobRecord| is_untold(job) && job.id == id && job.token == token;
        if let Some(job) = jobs.iter_mut().find(told) {
            (job.worker, job.started_at, job.lease_until) =
                (Some(worker), Some(started_at), Some(lease_until));
        }
    }
    Ok(())
}

fn is_untold(job: &JobRecord) -> bool {
    job.state == State::Running && job.worker.is_none() && !job.is_foreign
}
