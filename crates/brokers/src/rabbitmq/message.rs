//! What is read from the wire, tolerantly: any header types, no id, no kind, foreign ids, too many bytes.
//!
//! The server's redelivery marks and counters are never our attempt number; that travels in our own header.

use std::{borrow::Cow, str::FromStr};

use backshift_core::{
    Bytes, Envelope, Headers, JobId, Kind, Malformed, QueueName, Reason, Timestamp,
    broker::{Binding, Decoded},
    wire::{
        ATTEMPT, BODY_NOT_KEPT, CREATED_AT, EXPIRES_AT, FIELDS, FIRST_SEEN, IDEMPOTENCY_KEY, KIND,
        MAX_ATTEMPTS, RUN_AT, SENSITIVE, USER_ID,
    },
};
use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable},
};
use uuid::Uuid;

/// The largest body that is worked, in bytes (docs/contracts/system-c.md, Size); larger ones go to the DLQ whole.
pub(super) const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Foreign headers are bounded: this many, and this many bytes of names and values together.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// The highest count that is believed; a ledger's column holds no more.
const MOST_ATTEMPTS: u32 = i32::MAX as u32;

/// Name space of the ids that are made from foreign message ids (UUIDv5): "backshift rabbitmq" in spirit, random in fact.
const FOREIGN_IDS: Uuid = Uuid::from_u128(0x6f0c_3a52_91d7_4b8e_a1f4_7c55_0e2b_93d8);

/// The message as it came, for the copy that a retry or a dead letter publishes.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) properties: BasicProperties,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
    pub(super) first_seen: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) sensitive: bool,
}

/// A message and what it means.
pub(super) struct Incoming {
    pub(super) tag: u64,
    pub(super) redelivered: bool,
    pub(super) anonymous: bool,
    pub(super) job: Result<Envelope, Malformed>,
    /// Not before this time.
    pub(super) due: Option<Timestamp>,
    pub(super) origin: Box<Origin>,
}

/// Reads one delivery of a queue.
pub(super) fn read(
    delivery: Delivery,
    queue: &QueueName,
    binding: Option<&Binding>,
    now: Timestamp,
) -> Incoming {
    let Delivery { delivery_tag, redelivered, properties, data, .. } = delivery;
    let own = Own(properties.headers().as_ref());
    let origin = Origin {
        headers: own.foreign_text(),
        body: data.into(),
        first_seen: own.parse(FIRST_SEEN).unwrap_or(now),
        expires_at: own.parse(EXPIRES_AT).or_else(|| end_of_life(&properties, now)),
        sensitive: own.get(SENSITIVE).is_some(),
        properties: BasicProperties::default(),
    };
    let oversize = origin.body.len() > MAX_BODY_BYTES;
    let message_id = properties.message_id().as_ref().map(|id| id.as_str()).filter(|id| !id.is_empty());
    let mut anonymous = message_id.is_none();
    let job = if oversize {
        let size = origin.body.len();
        Err((
            Reason::TooLarge,
            format!("{size} bytes are more than the {MAX_BODY_BYTES} that a worker accepts"),
        ))
    } else {
        decode(&properties, own, binding, &origin)
            .map(|decoded| {
                anonymous &= decoded.id.is_none();
                envelope(decoded, queue, &properties, own, &origin, message_id, now)
            })
            .map_err(|problem| (Reason::Malformed, problem))
    };
    let job = job.map_err(|(reason, problem)| {
        let (raw, source) = (origin.body.clone(), queue.to_string());
        Malformed { raw, reason, problem, source }
    });
    let due = own.parse(RUN_AT);
    let origin = Box::new(Origin { properties, ..origin });
    Incoming { tag: delivery_tag, redelivered, anonymous, job, due, origin }
}

/// A UUID is taken as it is; any other id gets a UUID of its own, the same for every redelivery.
pub(super) fn job_id(message_id: &str, queue: &QueueName) -> JobId {
    message_id
        .parse()
        .unwrap_or_else(|_| JobId(Uuid::new_v5(&FOREIGN_IDS, format!("{queue}\0{message_id}").as_bytes())))
}

fn decode(
    properties: &BasicProperties,
    own: Own<'_>,
    binding: Option<&Binding>,
    origin: &Origin,
) -> Result<Decoded, String> {
    let written = own.get(KIND).or_else(|| properties.kind().as_ref().map(|kind| kind.as_str().into()));
    let is_ours = own.get(CREATED_AT).or_else(|| own.get(ATTEMPT)).is_some();
    match binding {
        Some(binding) if !is_ours => binding.decoder.decode(&origin.body, &origin.headers),
        _ => match written {
            Some(kind) => {
                Kind::new(&kind).map(Decoded::from).map_err(|error| format!("the property type: {error}"))
            }
            None => Err("the message names no kind: set the property `type`, such as email.send".into()),
        },
    }
}

fn envelope(
    decoded: Decoded,
    queue: &QueueName,
    properties: &BasicProperties,
    own: Own<'_>,
    origin: &Origin,
    message_id: Option<&str>,
    now: Timestamp,
) -> Envelope {
    let stamped = || Timestamp::from_second(i64::try_from((*properties.timestamp())?).ok()?).ok();
    let mut headers = origin.headers.clone();
    if let Some(at) = origin.expires_at {
        // The moment that is kept to, also when the producer's own text of it cannot be read.
        headers.insert(EXPIRES_AT.into(), at.to_string());
    }
    if let Some(instead) = decoded.instead {
        headers.extend(instead);
        headers.insert(BODY_NOT_KEPT.into(), "true".into());
    }
    Envelope {
        // A generated id costs a call into the system: only where neither message nor bytes bring one.
        id: message_id.or(decoded.id.as_deref()).map_or_else(JobId::generate, |id| job_id(id, queue)),
        kind: decoded.kind,
        queue: queue.clone(),
        payload: origin.body.clone(),
        headers,
        attempt: own.parse(ATTEMPT).unwrap_or(1).clamp(1, MOST_ATTEMPTS),
        max_attempts: own.parse(MAX_ATTEMPTS).filter(|max| *max > 0).map(|max| MOST_ATTEMPTS.min(max)),
        priority: 0,
        run_at: own.parse(RUN_AT),
        unique: None,
        idempotency_key: own.get(IDEMPOTENCY_KEY).map(Cow::into_owned),
        user_id: own.parse(USER_ID).or(decoded.user_id),
        created_at: own.parse(CREATED_AT).or_else(stamped).unwrap_or(now),
    }
}

/// When the server would have let the message expire: counted from its time stamp, else from now.
fn end_of_life(properties: &BasicProperties, now: Timestamp) -> Option<Timestamp> {
    let life: i64 = properties.expiration().as_ref()?.as_str().parse().ok()?;
    let from = properties.timestamp().and_then(|at| Timestamp::from_second(i64::try_from(at).ok()?).ok());
    let from = from.filter(|at| *at <= now).unwrap_or(now);
    Timestamp::from_millisecond(from.as_millisecond().checked_add(life)?).ok()
}

/// The header table, read as text.
#[derive(Clone, Copy)]
struct Own<'a>(Option<&'a FieldTable>);

impl<'a> Own<'a> {
    fn get(self, name: &str) -> Option<Cow<'a, str>> {
        self.0?.inner().get(name).and_then(text).filter(|text| !text.is_empty())
    }

    fn parse<T: FromStr>(self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    fn foreign_text(self) -> Headers {
        let (mut headers, mut size) = (Headers::new(), 0);
        for (name, value) in self.0.iter().flat_map(|table| table.inner()) {
            let name = name.as_str();
            if is_the_servers(name) || FIELDS.contains(&name) {
                continue;
            }
            let Some(value) = text(value) else { continue };
            size += name.len() + value.len();
            if headers.len() == MAX_HEADERS || size > MAX_HEADER_BYTES {
                break;
            }
            headers.insert(name.to_owned(), value.into_owned());
        }
        headers
    }
}

/// Headers that the server writes about its own doings; they say nothing about the job.
pub(super) fn is_the_servers(name: &str) -> bool {
    ["x-death", "x-delivery-count", "x-acquired-count"].contains(&name)
        || ["x-first-death-", "x-last-death-", "x-opt-"].iter().any(|begin| name.starts_with(begin))
}

fn text(value: &AMQPValue) -> Option<Cow<'_, str>> {
    Some(match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok()?.into(),
        AMQPValue::ShortString(text) => text.as_str().into(),
        AMQPValue::Boolean(value) => value.to_string().into(),
        AMQPValue::ShortShortInt(n) => n.to_string().into(),
        AMQPValue::ShortShortUInt(n) => n.to_string().into(),
        AMQPValue::ShortInt(n) => n.to_string().into(),
        AMQPValue::ShortUInt(n) => n.to_string().into(),
        AMQPValue::LongInt(n) => n.to_string().into(),
        AMQPValue::LongUInt(n) => n.to_string().into(),
        AMQPValue::LongLongInt(n) => n.to_string().into(),
        AMQPValue::Float(n) => n.to_string().into(),
        AMQPValue::Double(n) => n.to_string().into(),
        AMQPValue::Timestamp(n) => n.to_string().into(),
        _ => return None,
    })
}
