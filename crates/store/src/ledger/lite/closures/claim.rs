//! Taking jobs on SQLite: one UPDATE a batch. The start is noted in the job's own row only.

use std::{cmp::Reverse, collections::BTreeSet};

use backshift_core::{Bytes, Envelope, Kind, Kinds, QueueName, StoreError, Timestamp, Token};
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::{IdText, read};
use crate::{
    ledger::{
        entry::unique_key,
        job_row::{ClaimedRow, headers, kind, start},
        lite::statements::{
            ANY_ASIDE, CLAIM, CLAIM_ALONE, CLAIM_PLACES, FIRST_ASIDE, FIRST_IN_LINE, PAUSED, PUT_ALONE_ASIDE,
            PUT_ASIDE, Take,
        },
    },
    sqlite::fault,
};

const SIT: &str = "INSERT OR REPLACE INTO job_alone (seat, job_id, token) VALUES (1, ?1, ?2)";
/// How many of the line are looked at in one go once something strange stands at its head, and how often in one claim.
const STRANGERS: (u32, u32) = (1000, 10);

/// Takes jobs, in no order.
pub(crate) fn claim_on(connection: &Connection, take: &Take) -> Result<Vec<ClaimedRow>, StoreError> {
    if is_paused(connection, take)? {
        return Ok(Vec::new());
    }
    let Some(kinds) = &take.kinds else { return run(connection, CLAIM, take, None) };
    let names = array(kinds);
    let all_known = put_aside(connection, take, &names)?;
    let mut aside = connection.prepare_cached(ANY_ASIDE).map_err(fault)?;
    if all_known && !aside.exists([take.queue.as_str()]).map_err(fault)? {
        return run(connection, CLAIM, take, Some(&names));
    }
    let mut best = BTreeSet::new();
    if all_known {
        first(connection, FIRST_IN_LINE, take, &names, &mut best)?;
    }
    for kind in kinds.iter() {
        first(connection, FIRST_ASIDE, take, kind.as_str(), &mut best)?;
    }
    let rows: Vec<i64> = best.into_iter().map(|(.., row)| row).collect();
    run(connection, CLAIM_PLACES, take, Some(&serde_json::Value::from(rows).to_string()))
}

/// Priority, the higher the earlier; time; row.
type PlaceInLine = (Reverse<i64>, i64, i64);

/// Adds what belongs to the best `limit` so far. Rows come in order, so the first that is too late ends it: of many kinds
/// little more is read than is taken.
fn first(
    connection: &Connection,
    text: &str,
    take: &Take,
    what: &str,
    best: &mut BTreeSet<PlaceInLine>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(text).map_err(fault)?;
    let mut rows = statement.query(params![take.queue.as_str(), take.limit, what]).map_err(fault)?;
    while let Some(row) = rows.next().map_err(fault)? {
        let place = (Reverse(read::number(row, 0)?), read::number(row, 1)?, read::number(row, 2)?);
        if best.len() == take.limit as usize {
            if best.last().is_some_and(|last| *last < place) {
                break;
            }
            best.pop_last();
        }
        best.insert(place);
    }
    Ok(())
}

/// Takes one job that must run alone, and the seat with it.
pub(crate) fn claim_alone_on(connection: &Connection, take: &Take) -> Result<Vec<ClaimedRow>, StoreError> {
    if is_paused(connection, take)? {
        return Ok(Vec::new());
    }
    let kinds = take.kinds.as_ref().map(array);
    if let Some(kinds) = &kinds {
        let mut aside = connection.prepare_cached(PUT_ALONE_ASIDE).map_err(fault)?;
        aside.execute(params![take.queue.as_str(), kinds]).map_err(fault)?;
    }
    let claimed = run(connection, CLAIM_ALONE, take, kinds.as_deref())?;
    for lease in claimed.iter().map(|row| row.start.lease) {
        let mut sit = connection.prepare_cached(SIT).map_err(fault)?;
        sit.execute(params![IdText::new(lease.job.0), lease.token.0]).map_err(fault)?;
    }
    Ok(claimed)
}

fn is_paused(connection: &Connection, take: &Take) -> Result<bool, StoreError> {
    let paused =
        connection.prepare_cached(PAUSED).and_then(|mut paused| paused.exists([take.queue.as_str()]));
    paused.map_err(fault)
}

/// Whether nothing but what is known stands at the head of the line now.
fn put_aside(connection: &Connection, take: &Take, kinds: &str) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(PUT_ASIDE).map_err(fault)?;
    let mut looked_at = take.limit;
    for _ in 0..STRANGERS.1 {
        if statement.execute(params![take.queue.as_str(), looked_at, kinds]).map_err(fault)? == 0 {
            return Ok(true);
        }
        looked_at = take.limit.max(STRANGERS.0);
    }
    Ok(false)
}

fn array(kinds: &Kinds) -> String {
    let names: Vec<&str> = kinds.iter().map(Kind::as_str).collect();
    serde_json::Value::from(names).to_string()
}

/// One of the claims; `only` is its `?6`.
fn run(
    connection: &Connection,
    text: &str,
    take: &Take,
    only: Option<&str>,
) -> Result<Vec<ClaimedRow>, StoreError> {
    let mut claim = connection.prepare_cached(text).map_err(fault)?;
    let now = Timestamp::now().as_microsecond();
    let until = now.saturating_add(take.lease_us);
    let lease_until = Timestamp::from_microsecond(until).map_err(|error| read::wrong(0, error))?;
    let (queue, worker) = (take.queue.as_str(), take.worker.as_str());
    let mut rows = claim.query(params![queue, take.limit, worker, until, now, only]).map_err(fault)?;
    let mut claimed: Vec<ClaimedRow> = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        let before = claimed.last().map(|row| &row.envelope.kind);
        let next = claimed_row(row, &take.queue, before, lease_until)?;
        claimed.push(next);
    }
    Ok(claimed)
}

/// `before` is the kind of the row before: most batches hold one kind only.
fn claimed_row(
    row: &Row<'_>,
    queue: &QueueName,
    before: Option<&Kind>,
    until: Timestamp,
) -> Result<ClaimedRow, StoreError> {
    let own =
        |place| -> Result<Option<String>, StoreError> { Ok(read::text(row, place)?.map(str::to_owned)) };
    let uuid = |place| -> Result<Option<Uuid>, StoreError> {
        let text = read::text(row, place)?;
        text.map(Uuid::parse_str).transpose().map_err(|error| read::wrong(place, error))
    };
    let name = read::text(row, 1)?.unwrap_or_default();
    let (run_at, created_at) = (read::time(row, 7)?, read::time(row, 12)?);
    let id = uuid(0)?.ok_or_else(|| read::wrong(0, "a job without an id"))?;
    let envelope = Envelope {
        id: backshift_core::JobId(id),
        kind: before.filter(|kind| kind.as_str() == name).cloned().unwrap_or_else(|| kind(name)),
        queue: queue.clone(),
        payload: read::bytes(row, 2)?.map(Bytes::copy_from_slice).unwrap_or_default(),
        headers: headers(read::text(row, 3)?),
        attempt: read::number::<u32>(row, 4)?.saturating_add(1),
        max_attempts: read::int(row, 5)?.and_then(|most| u32::try_from(most).ok()),
        priority: read::number(row, 6)?,
        run_at: Some(run_at).filter(|at| *at > created_at),
        unique: unique_key(own(8)?, own(9)?),
        idempotency_key: own(10)?,
        user_id: uuid(11)?,
        created_at,
    };
    let start = start(&envelope, Token(read::number(row, 13)?), until, read::number(row, 14)?);
    Ok(ClaimedRow { envelope, start, run_at })
}
