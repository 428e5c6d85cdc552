//! What became of one attempt, as columns.
//!
//! `again` is the state between attempts: the statement decides whether that is available, scheduled, retrying,
//! or cancelled because somebody asked for it or a later job took the unique key.

use backshift_core::{
    Ack, Bytes, Completion, DeadLetter, ErrorClass, ErrorReport, Lease, Retry, Settlement,
    settle::MAX_OUTPUT_BYTES, store::Finish,
};

use super::entry::micros;
use crate::{Column, Value};

/// The delay of a job whose own transaction was not committed although its handler said so.
const UNCOMMITTED_DELAY_US: i64 = 1_000_000;

/// One result, ready to be written.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) lease: Lease,
    /// `completed`, `cancelled`, `dead` or `again`.
    pub(crate) status: &'static str,
    /// How the attempt ended, as in the attempts table.
    pub(crate) class: &'static str,
    delay_us: i64,
    counted: bool,
    error: Option<String>,
    fingerprint: Option<String>,
    reason: Option<&'static str>,
    pub(crate) output: Option<Bytes>,
    pub(crate) note: Option<String>,
    /// Must be on disk before it is answered.
    pub(crate) strict: bool,
}

impl Outcome {
    pub(crate) fn new(finish: Finish) -> Self {
        let lease = finish.lease;
        let outcome = match finish.settlement {
            Settlement::Ack(Ack::Completed(completion)) => Self::completed(lease, completion),
            Settlement::Ack(Ack::Cancelled) => {
                Self { strict: true, ..Self::plain(lease, "cancelled", "cancelled") }
            }
            Settlement::Retry(retry) => Self::again(lease, *retry),
            Settlement::DeadLetter(letter) => Self::dead(lease, letter),
        };
        Self { strict: outcome.strict || finish.durable, ..outcome }
    }

    /// A counted failure: the handler's transaction did not commit.
    pub(crate) fn uncommitted(lease: Lease) -> Self {
        let text = "the handler completed the job in a transaction that was not committed";
        let report = ErrorReport::new(ErrorClass::Error, text);
        let again =
            Self { delay_us: UNCOMMITTED_DELAY_US, counted: true, ..Self::plain(lease, "again", "error") };
        again.with(Some(report))
    }

    fn plain(lease: Lease, status: &'static str, class: &'static str) -> Self {
        Self {
            lease,
            status,
            class,
            delay_us: 0,
            counted: false,
            error: None,
            fingerprint: None,
            reason: None,
            output: None,
            note: None,
            strict: false,
        }
    }

    fn completed(lease: Lease, completion: Completion) -> Self {
        let output = completion.output.map(|bytes| bytes.slice(..bytes.len().min(MAX_OUTPUT_BYTES)));
        let note = completion.note.map(|text| text.replace('\0', "\u{FFFD}"));
        Self { output, note, strict: completion.strict, ..Self::plain(lease, "completed", "completed") }
    }

    fn again(lease: Lease, retry: Retry) -> Self {
        let class = match (&retry.error, retry.counted) {
            (_, false) => ErrorClass::Released,
            (Some(report), true) => report.class,
            (None, true) => ErrorClass::Error,
        };
        let delay_us = micros(retry.delay);
        let again = Self { delay_us, counted: retry.counted, ..Self::plain(lease, "again", class.as_str()) };
        let strange = retry.error.as_ref().is_some_and(|report| report.class == ErrorClass::UnknownKind);
        let reason = (strange && !retry.counted).then(|| ErrorClass::UnknownKind.as_str());
        Self { reason, ..again }.with(retry.error)
    }

    fn dead(lease: Lease, letter: DeadLetter) -> Self {
        let dead =
            Self { reason: Some(letter.reason.as_str()), strict: true, ..Self::plain(lease, "dead", "dead") };
        dead.with(Some(letter.error))
    }

    fn with(self, report: Option<ErrorReport>) -> Self {
        // Made again, so that text which was put together by hand is bounded and storable as well.
        let report = report.map(|report| ErrorReport::new(report.class, report.message));
        let fingerprint = report.as_ref().map(ErrorReport::fingerprint);
        Self { fingerprint, error: report.map(|report| report.message), ..self }
    }

    /// The values of one `END` on SQLite.
    pub(crate) fn values(&self) -> Vec<Value> {
        vec![
            self.lease.job.into(),
            self.lease.token.into(),
            self.status.into(),
            self.delay_us.into(),
            i64::from(self.counted).into(),
            self.class.into(),
            self.error.clone().into(),
            self.fingerprint.clone().into(),
            self.reason.into(),
        ]
    }
}

/// Id and token of each.
pub(crate) fn lease_columns(leases: &[Lease]) -> Vec<Column> {
    vec![
        Column::Uuids(leases.iter().map(|lease| Some(lease.job.0)).collect()),
        Column::Ints(leases.iter().map(|lease| Some(lease.token.0)).collect()),
    ]
}

/// The same, and the claim of each.
fn start_columns(batch: &[Outcome]) -> Vec<Column> {
    vec![
        Column::Uuids(batch.iter().map(|outcome| Some(outcome.lease.job.0)).collect()),
        Column::Ints(batch.iter().map(|outcome| Some(outcome.lease.token.0)).collect()),
        Column::Uuids(batch.iter().map(|outcome| outcome.lease.claim).collect()),
    ]
}

/// The columns of `COMPLETE`.
pub(crate) fn completion_columns(batch: &[Outcome]) -> Vec<Column> {
    let mut columns = start_columns(batch);
    columns.push(Column::Bytes(batch.iter().map(|outcome| outcome.output.clone()).collect()));
    columns.push(Column::Texts(batch.iter().map(|outcome| outcome.note.clone()).collect()));
    columns
}

/// The columns of `END`.
pub(crate) fn end_columns(batch: &[Outcome]) -> Vec<Column> {
    let texts = |of: fn(&Outcome) -> Option<String>| Column::Texts(batch.iter().map(of).collect());
    let mut columns = start_columns(batch);
    columns.extend([
        texts(|o| Some(o.status.to_owned())),
        Column::Ints(batch.iter().map(|outcome| Some(outcome.delay_us)).collect()),
        Column::Ints(batch.iter().map(|outcome| Some(outcome.counted.into())).collect()),
        texts(|o| Some(o.class.to_owned())),
        texts(|o| o.error.clone()),
        texts(|o| o.fingerprint.clone()),
        texts(|o| o.reason.map(str::to_owned)),
    ]);
    columns
}

#[cfg(test)]
mod tests {
    use backshift_core::{JobId, Timestamp, Token};

    use super::*;

    #[test]
    fn a_result_waits_for_the_disk_when_its_kind_or_its_caller_says_so() {
        let lease =
            Lease { job: JobId::generate(), token: Token(1), until: Timestamp::UNIX_EPOCH, claim: None };
        let completed =
            |strict| Settlement::Ack(Ack::Completed(Completion { strict, ..Completion::default() }));
        let cancelled = || Settlement::Ack(Ack::Cancelled);
        for (settlement, durable, strict) in [
            (completed(false), false, false),
            (completed(false), true, true),
            (completed(true), false, true),
            (cancelled(), false, true),
        ] {
            assert_eq!(Outcome::new(Finish { lease, settlement, durable }).strict, strict);
        }
    }
}
