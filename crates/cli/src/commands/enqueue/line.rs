//! One line of `enqueue --stdin`, and what it asks for once it has been checked.
//!
//! A payload with `{n}` grows with the number of the job: how large it will be is known before it is made.

use backshift_core::{
    EnqueueOptions, Kind, QueueName, Timestamp, UniqueKey, UniquePolicy, client::PRIORITIES,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::args::{Args, MOST};
use crate::{
    config,
    exit::Failure,
    wiring::{Foreign, own_queue},
};

/// Stands for the job's number in a payload.
const NUMBER: &str = "{n}";

/// One line of standard input, or the flags in the same shape.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    kind: String,
    queue: Option<String>,
    id: Option<String>,
    payload: Box<RawValue>,
    count: Option<u64>,
    #[serde(rename = "in")]
    delay: Option<String>,
    at: Option<String>,
    #[serde(default)]
    priority: i16,
    unique_key: Option<String>,
    unique_policy: Option<String>,
}

/// The flags of the command as a line.
pub(super) fn from_flags(args: &Args) -> Result<Line, Failure> {
    let payload = args.payload.clone().unwrap_or_default();
    let payload = RawValue::from_string(payload)
        .map_err(|error| Failure::usage(format!("--payload is not JSON: {error}")))?;
    Ok(Line {
        kind: args.kind.clone().unwrap_or_default(),
        queue: args.queue.clone(),
        id: args.id.clone(),
        payload,
        count: args.id.is_none().then_some(args.count),
        delay: args.delay.clone(),
        at: args.at.clone(),
        priority: args.priority,
        unique_key: args.unique_key.clone(),
        unique_policy: Some(args.unique_policy.clone()),
    })
}

/// A line that was checked: makes as many envelopes as it asks for.
pub(super) struct Template {
    pub(super) kind: Kind,
    pub(super) queue: QueueName,
    payload: String,
    /// How often the number stands in it.
    numbers: usize,
    pub(super) count: u64,
    pub(super) options: EnqueueOptions,
}

impl Template {
    /// The bytes of the payload of this job; they never become fewer from one job to the next.
    pub(super) fn size(&self, n: u64) -> usize {
        let digits = n.checked_ilog10().map_or(1, |digits| digits as usize + 1);
        self.payload.len() - self.numbers * NUMBER.len() + self.numbers * digits
    }

    pub(super) fn payload(&self, n: u64) -> String {
        match self.numbers {
            0 => self.payload.clone(),
            _ => self.payload.replace(NUMBER, &n.to_string()),
        }
    }
}

/// Checks the line.
pub(super) fn template(line: &Line, own: Option<&Foreign>) -> Result<Template, Failure> {
    if line.id.is_some() && line.count.is_some() {
        return Err(Failure::usage("count together with id: one id names one job"));
    }
    if line.count.is_some_and(|count| !(1..=MOST).contains(&count)) {
        return Err(Failure::usage(format!("count is a whole number from 1 to {MOST}")));
    }
    if line.delay.is_some() && line.at.is_some() {
        return Err(Failure::usage("give either in or at, not both"));
    }
    if !PRIORITIES.contains(&line.priority) {
        return Err(Failure::usage(format!("priority {} is not in {PRIORITIES:?}", line.priority)));
    }
    let options = EnqueueOptions {
        id: line.id.as_deref().map(str::parse).transpose().map_err(Failure::usage)?,
        run_at: run_at(line)?,
        priority: line.priority,
        unique: unique(line)?,
        ..EnqueueOptions::default()
    };
    let payload = line.payload.get().to_owned();
    let kind = Kind::new(&line.kind).map_err(Failure::usage)?;
    let queue = line.queue.as_deref().unwrap_or_else(|| own_queue(&kind, own));
    Ok(Template {
        queue: QueueName::new(queue).map_err(Failure::usage)?,
        kind,
        numbers: payload.matches(NUMBER).count(),
        payload,
        count: line.count.unwrap_or(1),
        options,
    })
}

fn run_at(line: &Line) -> Result<Option<Timestamp>, Failure> {
    match (&line.delay, &line.at) {
        (Some(delay), _) => {
            let delay = config::duration(delay).map_err(Failure::usage)?;
            let far = || Failure::usage(format!("in {delay:?} is too far away"));
            Ok(Some(Timestamp::now().checked_add(delay).map_err(|_| far())?))
        }
        (None, Some(at)) => {
            at.parse().map(Some).map_err(|e| Failure::usage(format!("at {at:?} is no RFC 3339 time: {e}")))
        }
        (None, None) => Ok(None),
    }
}

fn unique(line: &Line) -> Result<Option<UniqueKey>, Failure> {
    let policy = line.unique_policy.as_deref().unwrap_or("reject");
    let policy: UniquePolicy = policy.parse().map_err(Failure::usage)?;
    Ok(line.unique_key.clone().map(|key| UniqueKey { key, policy }))
}
