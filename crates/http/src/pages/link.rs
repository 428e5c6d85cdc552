//! Addresses of pages: every part percent-encoded, so that a name cannot change where a link leads.
//!
//! What comes out is safe in an attribute as it is; templates must not encode it again.

use backshift_core::{Deed, JobId, Kind, QueueName};
use minijinja::Value;
use uuid::Uuid;

/// The page of one job.
pub fn job(id: JobId) -> Value {
    Value::from_safe_string(format!("/jobs/{id}"))
}

/// The jobs of one queue.
pub(super) fn jobs_of_queue(queue: &QueueName) -> Value {
    jobs(&[("find", &format!("queue:{queue}"))])
}

/// The jobs of one kind.
pub(super) fn jobs_of_kind(kind: &Kind) -> Value {
    jobs(&[("find", &format!("kind:{kind}"))])
}

/// The list of jobs with these parameters; empty ones are left out.
pub(super) fn jobs(query: &[(&str, &str)]) -> Value {
    let mut text = String::from("/jobs");
    for (i, (key, value)) in query.iter().filter(|(_, value)| !value.is_empty()).enumerate() {
        text.push_str(if i == 0 { "?" } else { "&amp;" });
        text.push_str(&format!("{key}={}", encode(value)));
    }
    Value::from_safe_string(text)
}

/// What one can do to a queue.
pub(super) fn queue(queue: &QueueName, verb: &str) -> Value {
    Value::from_safe_string(format!("/queues/{}/{verb}", encode(queue.as_str())))
}

/// A worker in the list of workers.
pub(super) fn worker(name: &str) -> String {
    format!("/workers#{}", encode(name))
}

/// The question before a deed to all that match.
pub(super) fn many(deed: Deed, state: &str, find: &str) -> Value {
    let query = [("state", state), ("find", find)].into_iter().filter(|(_, value)| !value.is_empty());
    let rest: String = query.map(|(key, value)| format!("&amp;{key}={}", encode(value))).collect();
    Value::from_safe_string(format!("/many?deed={}{rest}", deed.as_str()))
}

/// Dead letters by cause.
pub(super) fn causes(find: &str) -> Value {
    let query = if find.is_empty() { String::new() } else { format!("?find={}", encode(find)) };
    Value::from_safe_string(format!("/causes{query}"))
}

/// The page of a sweep.
pub(super) fn sweep(id: Uuid) -> Value {
    Value::from_safe_string(format!("/many/{id}"))
}

/// The text as one part of an address.
pub fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~:".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_its_place() {
        assert_eq!(encode("a b/../\"<'>&?#%é"), "a%20b%2F..%2F%22%3C%27%3E%26%3F%23%25%C3%A9");
        assert_eq!(
            jobs(&[("state", "dead"), ("find", ""), ("after", "a&b")]).to_string(),
            "/jobs?state=dead&amp;after=a%26b"
        );
        assert_eq!(jobs(&[]).to_string(), "/jobs");
        assert_eq!(worker("host \"1\""), "/workers#host%20%221%22");
    }
}
