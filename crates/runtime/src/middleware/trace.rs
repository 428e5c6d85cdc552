//! One span an attempt, with the W3C trace context of the producer, so that logs of both sides meet.

use backshift_core::{JobContext, JobResult, Middleware, Next, wire::TRACEPARENT};
use tracing::Instrument;

/// Puts every attempt into a span named `job`, with its id, kind, queue, attempt and trace: every line that a handler logs
/// says which job it was. `backshift::Shift` has it already.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trace;

impl Middleware for Trace {
    async fn around(&self, context: JobContext, next: Next<'_>) -> JobResult {
        let parent = context.headers().get(TRACEPARENT).filter(|parent| is_traceparent(parent));
        let span = tracing::info_span!(
            "job",
            job = %context.id(),
            kind = %context.kind(),
            queue = %context.queue(),
            attempt = context.attempt(),
            token = context.lease().map(|lease| lease.token.0),
            traceparent = parent,
            trace_id = parent.and_then(|parent| parent.get(3..35)),
        );
        next.run(context).instrument(span).await
    }
}

/// Version, trace id, parent id and flags in lower-case hex (<https://www.w3.org/TR/trace-context/>).
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &&str, length| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    match parts.as_slice() {
        [version, trace, parent, flags, ..] => {
            hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2) && **trace != "0".repeat(32)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_real_trace_context_is_taken_over() {
        assert!(is_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        for bad in ["", "00-x-y-z", "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"] {
            assert!(!is_traceparent(bad), "{bad}");
        }
        assert!(!is_traceparent(&format!("00-{}-b7ad6b7169203331-01", "0".repeat(32))));
    }
}
