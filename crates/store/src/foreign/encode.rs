//! The one text parameter: a JSON array of objects, read by `json_to_recordset` and `json_each`.
//!
//! Bytes are hexadecimal and times are integer microseconds: both databases read those alike.

use backshift_core::{Envelope, Lease, context::Said};
use serde_json::json;
use sha2::{Digest, Sha256};

/// `[{id, kind, queue, broker, payload, payload_hash, payload_size, headers, sensitive, attempt, max_attempts,
/// priority, run_at, unique_key, unique_policy, idempotency_key, user_id, created_at}]`
pub(super) fn jobs(broker: &str, jobs: &[Envelope]) -> String {
    let rows: Vec<_> = jobs.iter().map(|job| row(broker, job)).collect();
    serde_json::Value::Array(rows).to_string()
}

fn row(broker: &str, job: &Envelope) -> serde_json::Value {
    json!({
        "id": job.id.to_string(),
        "kind": job.kind.as_str(),
        "queue": job.queue.as_str(),
        "broker": broker,
        "payload": hex(&job.payload),
        "payload_hash": hex(&Sha256::digest(&job.payload)),
        "payload_size": job.payload.len(),
        "headers": job.headers,
        "sensitive": job.is_sensitive(),
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "priority": job.priority,
        "run_at": job.run_at.map(|at| at.as_microsecond()),
        "unique_key": job.unique.as_ref().map(|u| &u.key),
        "unique_policy": job.unique.as_ref().map(|u| u.policy.as_str()),
        "idempotency_key": job.idempotency_key,
        "user_id": job.user_id.map(|id| id.as_hyphenated().to_string()),
        "created_at": job.created_at.as_microsecond(),
    })
}

/// `[{id, token, claim, output, note}]`
pub(super) fn completion(lease: &Lease, said: Option<&Said>) -> String {
    let output = said.and_then(|s| s.output.as_ref()).map(|bytes| hex(bytes));
    let note = said.and_then(|s| s.note.as_ref());
    let claim = lease.claim.map(|id| id.as_hyphenated().to_string());
    let (job, token) = (lease.job.to_string(), lease.token.0);
    let row = json!({ "id": job, "token": token, "claim": claim, "output": output, "note": note });
    serde_json::Value::Array(vec![row]).to_string()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| char::from(DIGITS[usize::from(n & 15)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use backshift_core::{Kind, QueueName, Timestamp};

    #[test]
    fn bytes_are_hexadecimal_and_times_microseconds() {
        let at: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let mut job =
            Envelope::new(Kind::new("a.b").unwrap(), QueueName::new("q").unwrap(), vec![0, 255], at);
        job.run_at = Some(at);
        let rows: serde_json::Value = serde_json::from_str(&jobs("embedded", &[job])).unwrap();
        assert_eq!(rows[0]["payload"], "00ff");
        assert_eq!(rows[0]["run_at"], 1_795_262_400_000_000_i64);
        assert_eq!(rows[0]["broker"], "embedded");
        assert!(rows[0]["unique_key"].is_null());
    }
}
