//! A job's life, top to bottom: accepted, each start and how it ended, what comes next.

use backshift_core::{AttemptRecord, JobRecord, Standing, State, Timestamp, sweep::HandRecord};
use serde::Serialize;

use super::{link, mask, words};

/// How many starts the store hands out.
const STARTS: usize = 200;
/// Characters of what the other side said.
const SAID: usize = 500;

/// One step of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The state whose colour it has.
    pub tone: &'static str,
    /// The day, when it is another one than that of the step before.
    pub day: String,
    /// When.
    pub time: String,
    /// The whole time, for a machine; empty when it has none.
    pub at: String,
    /// What happened.
    pub what: String,
    /// Who did it.
    pub worker: Option<String>,
    /// Where that is: every part of it is encoded.
    href: String,
    /// What else is to be said of it.
    pub more: String,
    /// The words of the other side.
    pub said: Option<String>,
    /// How long it took, or how long until the next start.
    pub took: String,
    /// It has not happened yet.
    pub ahead: bool,
}

/// The steps of a job.
pub(super) fn life(
    job: &JobRecord,
    attempts: &[AttemptRecord],
    hands: &[HandRecord],
    now: Timestamp,
) -> Vec<Step> {
    let mut told = Told { steps: Vec::new(), day: words::day(now) };
    let accepted = format!("Accepted into {}, {}", job.queue, job.broker);
    let trace = job.headers.get(backshift_core::wire::TRACEPARENT);
    told.step("scheduled", job.created_at, accepted).said =
        trace.map(|trace| format!("trace {}", mask::said(trace, SAID)));
    let mut hands = hands.iter().peekable();
    for (i, attempt) in attempts.iter().enumerate() {
        while let Some(hand) = hands.next_if(|hand| hand.at <= attempt.started_at) {
            told.hand(hand, false);
        }
        let next = match attempts.get(i + 1) {
            Some(next) => Some(next.started_at),
            None => matches!(job.state, State::Retrying | State::Scheduled).then_some(job.run_at),
        };
        told.start(attempt);
        while let Some(hand) = hands.next_if(|hand| attempt.ended_at.is_none_or(|end| hand.at < end)) {
            told.hand(hand, true);
        }
        told.end(attempt, next);
    }
    if attempts.len() == STARTS {
        let last = attempts.last().map_or(job.created_at, |attempt| attempt.started_at);
        told.step("scheduled", last, "Later starts are not shown here".to_owned());
    }
    let mut cancelled = false;
    for hand in hands {
        cancelled = hand.deed == "cancel";
        told.hand(hand, false);
    }
    // The hand that cancelled it has said so.
    if !(cancelled && job.state == State::Cancelled) {
        told.close(job, attempts);
    }
    told.steps
}

struct Told {
    steps: Vec<Step>,
    day: String,
}

impl Told {
    fn step(&mut self, tone: &'static str, at: Timestamp, what: String) -> &mut Step {
        let day = words::day(at);
        let shown = if day == self.day { String::new() } else { day.clone() };
        self.day = day;
        let (time, at) = (words::precise(at), at.to_string());
        self.steps.push(Step {
            tone,
            day: shown,
            time,
            at,
            what,
            worker: None,
            href: String::new(),
            more: String::new(),
            said: None,
            took: String::new(),
            ahead: false,
        });
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    /// What somebody did, and why; to a job that ran just then, or not.
    fn hand(&mut self, hand: &HandRecord, running: bool) {
        let (tone, what) = match (hand.deed.as_str(), running) {
            ("retry", _) => ("available", "Made to run again"),
            ("cancel", true) => ("cancelled", "Asked to stop"),
            ("cancel", false) => ("cancelled", "Cancelled"),
            _ => ("scheduled", "Touched"),
        };
        let many = if hand.sweep.is_some() { ", with others" } else { "" };
        let step = self.step(tone, hand.at, format!("{what} by {}{many}", mask::name(&hand.hand.who, SAID)));
        step.said = hand.hand.why.as_ref().map(|why| mask::said(why, SAID));
    }

    fn start(&mut self, attempt: &AttemptRecord) {
        let step = self.step("running", attempt.started_at, format!("Attempt {}", attempt.attempt));
        step.worker = Some(mask::said(&attempt.worker, SAID));
        step.href = link::worker(&attempt.worker);
        step.more = format!(", token {}", attempt.token);
        step.took = attempt.ended_at.map(|end| words::span(attempt.started_at, end)).unwrap_or_default();
    }

    fn end(&mut self, attempt: &AttemptRecord, next: Option<Timestamp>) {
        let Some(outcome) = attempt.outcome.as_deref() else { return };
        let (tone, what) = match outcome {
            "completed" => ("completed", "Done"),
            "error" => ("retrying", "Failed"),
            "panic" => ("retrying", "Its handler panicked"),
            "timeout" => ("retrying", "Took longer than it may"),
            "crash" => ("dead", "Its worker was lost; this counts as no attempt"),
            "released" => ("scheduled", "Went back; this counts as no attempt"),
            "dead" => ("dead", "Failed for good"),
            "cancelled" => ("cancelled", "Cancelled"),
            _ => ("scheduled", "Ended"),
        };
        let at = attempt.ended_at.unwrap_or(attempt.started_at);
        let step = self.step(tone, at, what.to_owned());
        step.said = attempt.error.as_ref().map(|error| mask::said(error, SAID));
        if !matches!(outcome, "completed" | "dead" | "cancelled") {
            step.took = next.map(|next| format!("next in {}", words::span(at, next))).unwrap_or_default();
        }
    }

    /// What no start tells: an end without one, and what comes next.
    fn close(&mut self, job: &JobRecord, attempts: &[AttemptRecord]) {
        let told = attempts.last().and_then(|last| last.outcome.as_deref());
        let ended = |outcome| told == Some(outcome);
        match (job.state, job.finished_at) {
            (State::Cancelled, Some(at)) if !ended("cancelled") => {
                self.step("cancelled", at, "Cancelled".to_owned());
            }
            (State::Dead, Some(at)) if !ended("dead") => {
                let step = self.step("dead", at, "Given up and kept for a person".to_owned());
                step.said = job.reason.as_ref().map(|reason| mask::said(reason, SAID));
            }
            (State::Scheduled | State::Retrying, _) => {
                let what = format!("Attempt {} is due", job.attempt);
                self.step("available", job.run_at, what).ahead = true;
            }
            (State::Available, _) => {
                let waits = match job.standing() == Some(Standing::Parked) {
                    true => "Goes to the first worker that knows its kind",
                    false => "Waits for a worker",
                };
                let step = self.step("available", job.run_at, waits.to_owned());
                (step.ahead, step.time, step.at, step.day) =
                    (true, "next".into(), String::new(), String::new());
            }
            _ => {}
        }
    }
}
