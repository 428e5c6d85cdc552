//! One AMQP message with any properties, header table and body: readable for the client library after the scrub, a job
//! whose history has bounds or a refusal that keeps the bytes, and copies (retry, dead letter) that are read as meant.
//!
//! Input: two bytes of property flags, then the fields that they announce, then the body. Lengths are cut to what is
//! there, because a server forwards only frames whose outer form is sound.

use std::sync::Arc;

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame, parse_frame};
use backshift_brokers::rabbitmq::fuzzing::{self, Message};
use backshift_core::{
    Bytes, DeadLetter, Envelope, ErrorReport, Headers, Kind, Malformed, QueueName, Reason, Timestamp,
    broker::{Binding, Decoded, Decoder},
    report::ErrorClass,
};
use lapin::BasicProperties;

use crate::{cost, log_line};

/// One message of a bound or a plain queue.
pub fn envelope(bytes: &[u8]) {
    let Some((flags, rest)) = bytes.split_first_chunk::<2>() else { return };
    let flags = u16::from_be_bytes(*flags);
    let (fields, table, body) = split_fields(flags & 0xFFFC, rest);
    let Some(properties) = received(flags & 0xFFFC, &fields, body.len(), table) else { return };
    let binding = (flags & 1 == 1).then(mail_queue);
    let now = Timestamp::from_second(1_774_744_200).expect("it is a time");
    let read = || Message::read(properties.clone(), body, &queue(), binding.as_ref(), now);
    let message = cost::within("a message", bytes.len(), 128, read);
    assert_eq!(message.body(), body, "the bytes changed");
    match message.job() {
        Ok(job) => {
            has_bounds(job);
            let again = Message::read(properties, body, &queue(), binding.as_ref(), now);
            let same = again.job().map(|again| again.id) == Ok(job.id);
            assert!(same || message.is_anonymous(), "a redelivery is another job");
            runs_again(&message, job, binding.as_ref(), now);
        }
        Err(malformed) => {
            assert_eq!(malformed.raw, body);
            log_line::assert_is_one(&malformed.problem);
            is_buried(&message, malformed, now);
        }
    }
}

fn queue() -> QueueName {
    QueueName::new("smtp_send_email").expect("it is a queue")
}

fn mail_queue() -> Binding {
    Binding { queue: queue(), feed: None, decoder: Arc::new(Mails) }
}

struct Mails;

impl Decoder for Mails {
    fn decode(&self, raw: &Bytes, _: &Headers) -> Result<Decoded, String> {
        backshift_mail::decode(raw).map_err(|malformed| malformed.to_string())?;
        Kind::new("email.send").map(Decoded::from).map_err(|error| error.to_string())
    }
}

/// The fields as they travel, the length of the header table, and the body.
fn split_fields(flags: u16, mut rest: &[u8]) -> (Vec<u8>, Option<usize>, &[u8]) {
    const SHORT: [u32; 10] = [0, 1, 5, 6, 7, 8, 10, 11, 12, 13];
    let (mut fields, mut table) = (Vec::new(), None);
    for bit in (0..14).filter(|bit| flags & (0x8000 >> bit) != 0) {
        let prefix = if SHORT.contains(&bit) { 1 } else { usize::from(bit == 2) * 2 };
        let (length, after) = rest.split_at(prefix.min(rest.len()));
        let length = length.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)).min(after.len());
        let length = match bit {
            3 | 4 => 1,
            9 => 8,
            _ => length,
        };
        let (value, after) = after.split_at(length.min(after.len()));
        match bit {
            2 => {
                fields.extend(u32::try_from(length).unwrap_or(0).to_be_bytes());
                table = Some(length);
            }
            3 | 4 | 9 => {}
            _ => fields.push(u8::try_from(length).unwrap_or(0)),
        }
        fields.extend(value);
        fields.resize(fields.len() + length - value.len(), 0);
        rest = after;
    }
    (fields, table, rest)
}

/// The properties as the client library reads them from the scrubbed frame.
fn received(flags: u16, fields: &[u8], size: usize, table: Option<usize>) -> Option<BasicProperties> {
    let mut payload = vec![0, 60, 0, 0];
    payload.extend((size as u64).to_be_bytes());
    payload.extend(flags.to_be_bytes());
    payload.extend(fields);
    fuzzing::scrub(&mut payload);
    let scrubbed = payload.clone();
    fuzzing::scrub(&mut payload);
    assert_eq!(payload, scrubbed, "the second scrub changes something");
    // One byte is too short for any table, and no server forwards it.
    let header = parsed(&payload).filter(|_| table != Some(1));
    assert!(header.is_some() || table == Some(1), "the connection would end over {payload:?}");
    Some(header?.properties)
}

fn parsed(payload: &[u8]) -> Option<AMQPContentHeader> {
    let mut frame = vec![2, 0, 1];
    frame.extend(u32::try_from(payload.len()).ok()?.to_be_bytes());
    frame.extend(payload);
    frame.push(206);
    match parse_frame(frame.as_slice()) {
        Ok(([], AMQPFrame::Header(_, header))) => Some(header),
        _ => None,
    }
}

fn has_bounds(job: &Envelope) {
    let most = i32::MAX.unsigned_abs();
    assert!((1..=most).contains(&job.attempt), "attempt {}", job.attempt);
    assert!(job.max_attempts.is_none_or(|max| (1..=most).contains(&max)), "{:?}", job.max_attempts);
    let size: usize = job.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(job.headers.len() <= 65 && size <= 33 * 1024, "{} headers, {size} bytes", job.headers.len());
    assert!(job.headers.keys().all(|name| fuzzing::is_the_jobs_own(name)), "{:?}", job.headers);
}

/// The copy of the next attempt is the same job, one attempt later.
fn runs_again(message: &Message, job: &Envelope, binding: Option<&Binding>, now: Timestamp) {
    let next = Envelope { attempt: job.attempt.saturating_add(1), ..job.clone() };
    let Ok(properties) = message.retry(&next, true, now) else { return };
    let properties = travels(properties);
    assert!(properties.expiration().is_none() || job.is_sensitive(), "a retry would vanish");
    let copy = Message::read(properties, &job.payload, &job.queue, binding, now);
    let copy = copy.job().expect("our own copy can be read");
    assert_eq!((copy.id, &copy.kind, &copy.payload), (next.id, &next.kind, &next.payload));
    assert_eq!((copy.user_id, &copy.idempotency_key), (next.user_id, &next.idempotency_key));
    assert_eq!((copy.max_attempts, copy.created_at), (next.max_attempts, next.created_at));
    assert_eq!(copy.attempt, next.attempt.min(i32::MAX.unsigned_abs()));
    assert_eq!(copy.headers, next.headers, "the headers of the job changed on the way");
    let hop = travels(message.hop().expect("what came can go on"));
    assert!(hop.user_id().is_none(), "the server would refuse another user's message");
}

fn is_buried(message: &Message, malformed: &Malformed, now: Timestamp) {
    let error = ErrorReport::new(ErrorClass::Error, malformed.problem.as_str());
    let letter = DeadLetter { reason: Reason::Malformed, error, attempt: 1 };
    let Ok(properties) = message.dead_letter(&letter, now) else { return };
    let properties = travels(properties);
    let headers = properties.headers().as_ref().expect("a dead letter has a reason").inner();
    assert!(headers.contains_key("backshift-reason") && headers.contains_key("backshift-error"));
    assert!(!headers.contains_key("CC") && !headers.contains_key("BCC"), "the server would send copies");
}

/// What the other side reads of what we write.
fn travels(properties: BasicProperties) -> BasicProperties {
    let header = AMQPContentHeader { class_id: 60, body_size: 0, properties: properties.clone() };
    let frame = AMQPFrame::Header(1, header);
    let bytes =
        gen_frame(&frame)(WriteContext::from(Vec::new())).expect("memory can be written").into_inner().0;
    match parse_frame(bytes.as_slice()) {
        // As text, because a number that is none (NaN) is not equal to itself.
        Ok((_, AMQPFrame::Header(_, header))) => {
            assert_eq!(format!("{:?}", header.properties), format!("{properties:?}"));
        }
        other => panic!("our own properties cannot be read: {other:?}"),
    }
    properties
}
