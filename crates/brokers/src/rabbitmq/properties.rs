//! What is written on the wire: properties and headers of first publishes, retries and dead letters.
//!
//! Foreign properties are carried over whole, with three exceptions that the server would act on: `user-id` (it
//! refuses another user's), `CC`/`BCC` (extra routing) and `expiration` (a dead letter would vanish).

use backshift_core::{
    DeadLetter, Envelope, Headers, Timestamp,
    broker::BrokerError,
    wire::{
        ATTEMPT, CREATED_AT, ERROR, EXPIRES_AT, FIELDS, FIRST_SEEN, IDEMPOTENCY_KEY, KIND, MAX_ATTEMPTS,
        REASON, RUN_AT, SOURCE, USER_ID,
    },
};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, LongString, ShortString},
};

use super::{
    error::rejected,
    message::{Origin, is_the_servers},
};

/// Headers of the run or death that is over.
const OF_ONE_RUN: [&str; 4] = [RUN_AT, REASON, ERROR, SOURCE];

/// Headers travel in one frame (128 KiB by default); a larger one ends the connection.
const MAX_TABLE_BYTES: usize = 64 * 1024;

/// Of a job's first publish.
pub(super) fn of_first(envelope: &Envelope, now: Timestamp) -> Result<BasicProperties, BrokerError> {
    let mut table = FieldTable::default();
    put_headers(&mut table, &envelope.headers)?;
    put_fields(&mut table, envelope);
    // The server reads the headers of every message: one that says nothing is felt there.
    if envelope.attempt != 1 {
        put_number(&mut table, ATTEMPT, envelope.attempt);
    }
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_message_id(envelope.id.to_string().into())
        .with_type(envelope.kind.as_str().into())
        .with_timestamp(u64::try_from(envelope.created_at.as_second()).unwrap_or(0));
    let expiration = envelope.headers.get(EXPIRES_AT).and_then(|at| at.parse().ok());
    let expiration = expiration.filter(|_| envelope.run_at.is_none());
    finish(properties, table, expiration.map(|at| left(at, now).max(1)))
}

/// Of the next run of a delivered job; `direct` = it does not pass the ladder.
pub(super) fn of_retry(
    origin: &Origin,
    next: &Envelope,
    direct: bool,
    now: Timestamp,
) -> Result<BasicProperties, BrokerError> {
    let mut table = carried_table(&origin.properties, &OF_ONE_RUN);
    put_headers(&mut table, &changed(&origin.headers, &next.headers))?;
    put_fields(&mut table, next);
    put_number(&mut table, ATTEMPT, next.attempt);
    put(&mut table, FIRST_SEEN, origin.first_seen.to_string());
    if let Some(at) = origin.expires_at {
        put(&mut table, EXPIRES_AT, at.to_string());
    }
    let mut properties = carried(&origin.properties);
    match properties.kind() {
        None => properties = properties.with_type(next.kind.as_str().into()),
        Some(kind) if kind.as_str() != next.kind.as_str() => put(&mut table, KIND, next.kind.to_string()),
        Some(_) => {}
    }
    if properties.message_id().as_ref().is_none_or(|id| id.as_str().is_empty()) {
        properties = properties.with_message_id(next.id.to_string().into());
    }
    let expires_at = origin.expires_at.filter(|_| direct && next.is_sensitive());
    finish(properties, table, expires_at.map(|at| left(at, now).max(1)))
}

/// Of a message that waits for its next step of the ladder: nothing changes.
pub(super) fn of_hop(origin: &Origin) -> Result<BasicProperties, BrokerError> {
    finish(carried(&origin.properties), carried_table(&origin.properties, &[]), None)
}

/// Of the copy in `<queue>.dlq`.
pub(super) fn of_dead_letter(
    origin: &Origin,
    letter: &DeadLetter,
    source: &str,
    now: Timestamp,
) -> Result<BasicProperties, BrokerError> {
    let mut table = carried_table(&origin.properties, &OF_ONE_RUN);
    put(&mut table, REASON, letter.reason.as_str());
    put(&mut table, ERROR, letter.error.message.clone());
    put_number(&mut table, ATTEMPT, letter.attempt);
    put(&mut table, FIRST_SEEN, origin.first_seen.to_string());
    put(&mut table, SOURCE, source);
    if let Some(at) = origin.expires_at {
        put(&mut table, EXPIRES_AT, at.to_string());
    }
    let expires_at = origin.expires_at.filter(|_| origin.sensitive);
    finish(carried(&origin.properties), table, expires_at.map(|at| left(at, now)))
}

fn finish(
    properties: BasicProperties,
    table: FieldTable,
    expiration_ms: Option<i64>,
) -> Result<BasicProperties, BrokerError> {
    let size: usize = table.inner().iter().map(|(k, v)| k.as_str().len() + weight(v)).sum();
    if size > MAX_TABLE_BYTES + 8 * 1024 {
        return Err(rejected(format!("the headers have {size} bytes, {MAX_TABLE_BYTES} are allowed")));
    }
    let properties = properties.with_headers(table).with_delivery_mode(2);
    Ok(match expiration_ms {
        Some(ms) => properties.with_expiration(ms.max(0).to_string().into()),
        None => properties,
    })
}

fn put_fields(table: &mut FieldTable, envelope: &Envelope) {
    put(table, CREATED_AT, envelope.created_at.to_string());
    if let Some(max) = envelope.max_attempts {
        put_number(table, MAX_ATTEMPTS, max);
    }
    if let Some(at) = envelope.run_at {
        put(table, RUN_AT, at.to_string());
    }
    if let Some(key) = &envelope.idempotency_key {
        put(table, IDEMPOTENCY_KEY, key.clone());
    }
    if let Some(user) = envelope.user_id {
        put(table, USER_ID, user.to_string());
    }
}

fn put_headers(table: &mut FieldTable, headers: &Headers) -> Result<(), BrokerError> {
    for (name, value) in headers.iter().filter(|(name, _)| !FIELDS.contains(&name.as_str())) {
        table.insert(short(name)?, AMQPValue::LongString(LongString::from(value.as_str())));
    }
    Ok(())
}

/// The headers that a handler or the engine changed; the others keep their type on the wire.
fn changed(before: &Headers, after: &Headers) -> Headers {
    after.iter().filter(|(k, v)| before.get(*k) != Some(*v)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn put(table: &mut FieldTable, name: &'static str, value: impl Into<String>) {
    table.insert(name.into(), AMQPValue::LongString(LongString::from(value.into())));
}

fn put_number(table: &mut FieldTable, name: &'static str, value: u32) {
    table.insert(name.into(), AMQPValue::LongInt(i32::try_from(value).unwrap_or(i32::MAX)));
}

fn short(text: &str) -> Result<ShortString, BrokerError> {
    ShortString::try_new(text).map_err(|_| {
        let begin: String = text.chars().take(40).collect();
        rejected(format!("{begin:?}… is too long for AMQP: 255 bytes at most"))
    })
}

/// Everything that a foreign producer said, except what the server would act on.
fn carried(from: &BasicProperties) -> BasicProperties {
    let mut to = BasicProperties::default();
    macro_rules! keep {
        ($($get:ident => $with:ident),*) => {
            $(if let Some(value) = from.$get() { to = to.$with(value.clone()); })*
        };
    }
    keep!(content_type => with_content_type, content_encoding => with_content_encoding, priority => with_priority,
        correlation_id => with_correlation_id, reply_to => with_reply_to, message_id => with_message_id,
        timestamp => with_timestamp, kind => with_type, app_id => with_app_id);
    to
}

/// The foreign headers without the server's own records and routing orders; none when there are too many to carry.
fn carried_table(from: &BasicProperties, without: &[&str]) -> FieldTable {
    let mut table = FieldTable::default();
    let mut size = 0;
    for (name, value) in from.headers().iter().flat_map(|headers| headers.inner()) {
        let key = name.as_str();
        if is_the_servers(key) || key == "CC" || key == "BCC" || without.contains(&key) {
            continue;
        }
        size += key.len() + weight(value);
        table.insert(name.clone(), value.clone());
    }
    if size <= MAX_TABLE_BYTES {
        return table;
    }
    let mut own = FieldTable::default();
    for (name, value) in table.inner().iter().filter(|(name, _)| name.as_str().starts_with("backshift-")) {
        own.insert(name.clone(), value.clone());
    }
    own
}

fn weight(value: &AMQPValue) -> usize {
    8 + match value {
        AMQPValue::LongString(text) => text.len(),
        AMQPValue::ShortString(text) => text.as_str().len(),
        AMQPValue::ByteArray(bytes) => bytes.len(),
        AMQPValue::FieldArray(items) => items.as_slice().iter().map(weight).sum(),
        AMQPValue::FieldTable(t) => t.inner().iter().map(|(k, v)| k.as_str().len() + weight(v)).sum(),
        _ => 8,
    }
}

fn left(at: Timestamp, now: Timestamp) -> i64 {
    at.as_millisecond() - now.as_millisecond()
}
