//! Rows of the ledger as the vocabulary of core.
//!
//! Rows of an adopted table may hold names and states of another program: they are shown as well as possible and
//! never fail a whole list.

use backshift_core::{
    Bytes, EffectState, Envelope, ErrorClass, Headers, JobId, JobRecord, Kind, Lease, QueueName, State,
    StoreError, Timestamp, Token, record::PARKED, store::Start, wire::SENSITIVE,
};

use super::{entry::unique_key, taken::taken};
use crate::{Dialect, FromRow, Row};

/// What `JobRow` needs.
const JOB_COLUMNS: &str = "id, user_id, job_type, status, attempts, error_message, created_at, queue, \
     broker, payload, payload_size, headers, priority, max_attempts, failures, token, crashes, worker, lease_until, \
     run_at, unique_key, progress_percent, progress_word, output, note, reason, effect, started_at, finished_at";

/// The same, and the kind for which a waiting job stands aside. PostgreSQL's line knows it.
pub(crate) fn job_columns(dialect: Dialect) -> String {
    let aside = match dialect {
        Dialect::Postgres => {
            "CASE WHEN status = 'available' AND broker = 'postgres' \
             THEN (SELECT l.aside FROM job_line l WHERE l.id = background_jobs.id) END AS aside"
        }
        Dialect::Sqlite => "CASE WHEN status = 'available' AND broker = 'embedded' THEN aside END AS aside",
    };
    let taken = match dialect {
        Dialect::Postgres => taken!(),
        Dialect::Sqlite => "0",
    };
    format!("{JOB_COLUMNS}, {aside}, {taken} AS taken")
}

/// The brokers whose queue is the ledger: a row of theirs is all that there is of a job.
const OF_THE_LEDGER: [&str; 2] = ["postgres", "embedded"];

/// A whole job. Who runs it may have to be [told](super::taken::told) yet.
pub(crate) struct JobRow(pub(crate) JobRecord);

impl FromRow for JobRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let taken = row.get::<bool>("taken")?;
        let state = match taken {
            true => State::Running,
            false => state(&row.get::<Option<String>>("status")?.unwrap_or_default()),
        };
        let token: Token = row.get("token")?;
        let headers = headers(row.get::<Option<String>>("headers")?.as_deref());
        let payload_size = row.get::<i64>("payload_size")?.unsigned_abs();
        let whole =
            |payload: &Bytes| payload.len() as u64 == payload_size && !headers.contains_key(SENSITIVE);
        let attempts = row.get::<Option<u32>>("attempts")?.unwrap_or_default();
        let next = row.get::<u32>("failures")? + 1;
        let running = state == State::Running;
        let aside = row.get::<Option<String>>("aside")?.map(|kind| {
            format!("{PARKED}the workers that looked at it have no handler for kind {kind}; it stays until one comes")
        });
        // What a worker gives back as strange says so in the column of the reason; no page shows it as one.
        let reason: Option<String> = row.get("reason")?;
        let strange = reason.as_deref() == Some(ErrorClass::UnknownKind.as_str());
        let waits = matches!(state, State::Scheduled | State::Available);
        let broker: String = row.get("broker")?;
        let percent: Option<u8> = row.get("progress_percent")?;
        let word: Option<String> = row.get("progress_word")?;
        Ok(Self(JobRecord {
            id: row.get("id")?,
            kind: kind(&row.get::<String>("job_type")?),
            queue: queue(&row.get::<String>("queue")?),
            is_foreign: !OF_THE_LEDGER.contains(&broker.as_str()),
            broker,
            state,
            parked: waits && (strange || aside.is_some()),
            attempt: if state.is_final() { attempts.max(1) } else { next },
            max_attempts: row.get("max_attempts")?,
            priority: row.get("priority")?,
            token: if taken { Token(token.0 + 1) } else { token },
            run_at: row.get("run_at")?,
            created_at: row.get::<Option<Timestamp>>("created_at")?.unwrap_or(Timestamp::UNIX_EPOCH),
            started_at: row.get("started_at")?,
            finished_at: row.get("finished_at")?,
            error: aside.or(row.get("error_message")?),
            reason: reason.filter(|_| !strange),
            effect: EffectState::parse(&row.get::<String>("effect")?).unwrap_or_default(),
            note: row.get("note")?,
            worker: row.get::<Option<String>>("worker")?.filter(|_| running && !taken),
            lease_until: row.get::<Option<Timestamp>>("lease_until")?.filter(|_| running && !taken),
            crashes: row.get("crashes")?,
            progress: percent.map(|percent| (percent, word.unwrap_or_default())),
            output: row.get("output")?,
            payload: row.get::<Option<Bytes>>("payload")?.filter(whole),
            payload_size,
            headers,
            unique_key: row.get("unique_key")?,
            user_id: row.get("user_id")?,
        }))
    }
}

/// A job as it travels: `id, job_type, queue, payload, headers, failures, max_attempts, priority, run_at, unique_key,
/// unique_policy, idempotency_key, user_id, created_at`.
#[derive(Debug)]
pub(crate) struct EnvelopeRow(pub(crate) Envelope);

impl FromRow for EnvelopeRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let (run_at, created_at) = (row.at::<Timestamp>(8)?, row.at::<Timestamp>(13)?);
        Ok(Self(Envelope {
            id: row.at(0)?,
            kind: kind(&row.at::<String>(1)?),
            queue: queue(&row.at::<String>(2)?),
            payload: row.at::<Option<Bytes>>(3)?.unwrap_or_default(),
            headers: headers(row.at::<Option<String>>(4)?.as_deref()),
            attempt: row.at::<u32>(5)? + 1,
            max_attempts: row.at(6)?,
            priority: row.at(7)?,
            run_at: Some(run_at).filter(|at| *at > created_at),
            unique: unique_key(row.at(9)?, row.at(10)?),
            idempotency_key: row.at(11)?,
            user_id: row.at(12)?,
            created_at,
        }))
    }
}

/// A job that was just claimed: what [`EnvelopeRow`] needs, then `token, lease_until, crashes`.
#[derive(Debug)]
pub(crate) struct ClaimedRow {
    pub(crate) envelope: Envelope,
    pub(crate) start: Start,
    /// Where it stood in its queue.
    pub(crate) run_at: Timestamp,
}

impl FromRow for ClaimedRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let EnvelopeRow(envelope) = EnvelopeRow::from_row(row)?;
        let (token, until, crashes) = (row.at::<Token>(14)?, row.at(15)?, row.at(16)?);
        let start = start(&envelope, token, until, crashes);
        Ok(Self { envelope, start, run_at: row.at(8)? })
    }
}

impl ClaimedRow {
    /// The order in which a queue is worked.
    pub(crate) fn place(&self) -> (i32, Timestamp, JobId) {
        (-i32::from(self.envelope.priority), self.run_at, self.envelope.id)
    }
}

/// One start of this envelope; the token counts the starts.
pub(crate) fn start(envelope: &Envelope, token: Token, until: Timestamp, crashes: u32) -> Start {
    Start {
        lease: Lease { job: envelope.id, token, until, claim: None },
        attempt: envelope.attempt,
        starts: u32::try_from(token.0).unwrap_or(u32::MAX),
        crashes,
        max_attempts: envelope.max_attempts,
    }
}

/// Reads a state; words of other programs (system A) by their meaning.
pub(crate) fn state(text: &str) -> State {
    State::parse(text).unwrap_or(match text {
        "pending" | "queued" => State::Available,
        "processing" => State::Running,
        "failed" => State::Dead,
        "canceled" => State::Cancelled,
        _ => State::Completed,
    })
}

/// Reads headers back; what is not an object of texts is nothing.
pub(crate) fn headers(text: Option<&str>) -> Headers {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// A kind that another program wrote may hold anything: what is illegal becomes `_`.
pub(crate) fn kind(text: &str) -> Kind {
    Kind::new(text).or_else(|_| Kind::new(legal(text))).unwrap_or_else(|_| unnamed())
}

pub(crate) fn queue(text: &str) -> QueueName {
    QueueName::new(text).or_else(|_| QueueName::new(legal(text))).unwrap_or_else(|_| adopted())
}

fn legal(text: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || "_-:".contains(c) { c } else { '_' };
    format!("x{}", text.chars().take(100).map(legal).collect::<String>())
}

#[expect(clippy::expect_used, reason = "a constant that is a legal name")]
fn unnamed() -> Kind {
    Kind::new("unnamed").expect("a legal kind")
}

#[expect(clippy::expect_used, reason = "a constant that is a legal name")]
fn adopted() -> QueueName {
    QueueName::new("adopted").expect("a legal queue")
}
