//! One job as the memory store keeps it, and the few ways in which it may change.
//!
//! Every change of a running row compares the token first: that is the fence.

use std::time::Duration;

use backshift_core::{
    Ack, AttemptRecord, Bytes, EffectState, Envelope, ErrorClass, ErrorReport, JobRecord, Lease, Reason,
    Settled, Settlement, State, Timestamp, Token,
    record::PARKED,
    store::{CRASHES_BEFORE_ALONE, Holder, LONELY_CRASHES_BEFORE_DEAD, Start},
};

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) envelope: Envelope,
    pub(super) broker: String,
    pub(super) state: State,
    pub(super) attempt: u32,
    pub(super) token: Token,
    pub(super) starts: u32,
    pub(super) crashes: u32,
    pub(super) run_at: Timestamp,
    pub(super) lease_until: Option<Timestamp>,
    pub(super) worker: Option<String>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) error: Option<String>,
    pub(super) reason: Option<Reason>,
    pub(super) note: Option<String>,
    pub(super) output: Option<Bytes>,
    pub(super) progress: Option<(u8, String)>,
    pub(super) effect: EffectState,
    pub(super) cancel_requested: bool,
    /// A later job took over its unique key: it may end, and does not run again.
    pub(super) superseded: bool,
    /// A foreign broker has it; else the relay takes it after `held_until`.
    pub(super) published: bool,
    pub(super) held_until: Option<Timestamp>,
    /// Its message carries no id.
    pub(super) anonymous: bool,
    /// How many redeliveries were matched with this row; `None` = its message is gone.
    pub(super) absorbed: Option<u64>,
    /// The token when the relay took it.
    pub(super) taken_at: Option<Token>,
    /// Nobody who looked at it knows its kind; it is out of everybody's way until somebody does.
    pub(super) aside: bool,
    /// Its last worker had no handler for its kind.
    pub(super) strange: bool,
    pub(super) attempts: Vec<AttemptRecord>,
}

impl Row {
    pub(super) fn new(envelope: Envelope, broker: &str, now: Timestamp) -> Self {
        let run_at = envelope.run_at.unwrap_or(now).max(now);
        Self {
            attempt: envelope.attempt.max(1),
            envelope,
            broker: broker.to_owned(),
            state: if run_at > now { State::Scheduled } else { State::Available },
            token: Token(0),
            starts: 0,
            crashes: 0,
            run_at,
            lease_until: None,
            worker: None,
            finished_at: None,
            error: None,
            reason: None,
            note: None,
            output: None,
            progress: None,
            effect: EffectState::None,
            cancel_requested: false,
            superseded: false,
            published: true,
            held_until: None,
            anonymous: false,
            absorbed: Some(0),
            taken_at: Some(Token(0)),
            aside: false,
            strange: false,
            attempts: Vec::new(),
        }
    }

    /// Begins a start: the token rises, the attempt does not.
    pub(super) fn start(&mut self, holder: &Holder, now: Timestamp) -> Start {
        self.token = Token(self.token.0 + 1);
        self.starts += 1;
        (self.aside, self.strange) = (false, false);
        self.state = State::Running;
        self.worker = Some(holder.worker.to_string());
        let until = later(now, holder.lease);
        self.lease_until = Some(until);
        self.attempts.push(AttemptRecord {
            attempt: self.attempt,
            token: self.token,
            worker: holder.worker.to_string(),
            started_at: now,
            ended_at: None,
            outcome: None,
            error: None,
        });
        Start {
            lease: Lease { job: self.envelope.id, token: self.token, until, claim: None },
            attempt: self.attempt,
            starts: self.starts,
            crashes: self.crashes,
            max_attempts: self.envelope.max_attempts,
        }
    }

    /// What its error has in common with others. The class is kept in the row's attempts only; equal words are one cause here.
    pub(super) fn fingerprint(&self) -> Option<String> {
        self.error.as_ref().map(|error| ErrorReport::new(ErrorClass::Error, error).fingerprint())
    }

    /// Waits from the beginning, because a person wished it.
    pub(super) fn again(&mut self, now: Timestamp) {
        self.state = State::Available;
        (self.attempt, self.crashes) = (1, 0);
        (self.cancel_requested, self.superseded, self.strange) = (false, false, false);
        (self.run_at, self.finished_at, self.reason) = (now, None, None);
        (self.published, self.held_until) = (false, None);
        // A confirm that is still on its way is not of the message that it gets now.
        self.taken_at = None;
    }

    pub(super) fn is_held_by(&self, lease: &Lease) -> bool {
        self.state == State::Running && self.token == lease.token
    }

    /// Somebody cancelled it or took its key: it is not to run again.
    fn is_unwanted(&self) -> bool {
        self.superseded || self.cancel_requested
    }

    /// Holds its unique key against newcomers.
    pub(super) fn is_seated(&self, key: &str) -> bool {
        let held = self.envelope.unique.as_ref().is_some_and(|unique| unique.key == key);
        held && !self.superseded && !self.state.is_final()
    }

    pub(super) fn lease_is_over(&self, now: Timestamp) -> bool {
        self.state == State::Running && self.lease_until.is_none_or(|until| until <= now)
    }

    /// The lease ended without a result.
    pub(super) fn crash(&mut self, now: Timestamp) {
        self.crashes += 1;
        self.end_attempt("crash", None, now);
        self.lease_until = None;
        self.worker = None;
        if self.is_unwanted() {
            self.finish(State::Cancelled, now);
        } else if self.crashes >= CRASHES_BEFORE_ALONE + LONELY_CRASHES_BEFORE_DEAD {
            self.reason = Some(Reason::CrashLoop);
            self.finish(State::Dead, now);
        } else {
            self.state = State::Available;
            self.run_at = now;
        }
    }

    /// Nobody has given a sign of it for so long, although its message was with a foreign broker.
    pub(super) fn is_forsaken(&self, after: Duration, now: Timestamp) -> bool {
        let (since, after) = match self.state {
            State::Running => (self.lease_until.unwrap_or(now), after),
            // Another worker may hold its message and not begin it yet.
            _ => (self.run_at, after * 6),
        };
        self.published && !self.aside && !self.state.is_final() && later(since, after) < now
    }

    /// Its message is gone from the broker.
    pub(super) fn forsake(&mut self, now: Timestamp) {
        let who = self.worker.take().unwrap_or_default();
        self.error = Some(format!(
            "worker {who} is gone, and the broker has nothing of it any more: another consumer may have done it"
        ));
        self.end_attempt("crash", self.error.clone(), now);
        self.lease_until = None;
        if self.is_unwanted() {
            return self.finish(State::Cancelled, now);
        }
        if self.effect != EffectState::Done {
            self.effect = EffectState::Ambiguous;
        }
        self.reason = Some(Reason::Ambiguous);
        self.finish(State::Dead, now);
    }

    pub(super) fn settle(&mut self, lease: &Lease, settlement: &Settlement, now: Timestamp) -> Settled {
        if !self.is_held_by(lease) {
            return Settled::Stale;
        }
        self.lease_until = None;
        self.worker = None;
        match settlement {
            Settlement::Ack(Ack::Completed(completion)) if completion.in_transaction => {
                // It still runs, so that transaction did not commit: a counted failure, and no result.
                self.end_attempt("error", Some("the handler's transaction did not commit".into()), now);
                self.attempt += 1;
                self.run_at = later(now, Duration::from_secs(1));
                self.state = State::Retrying;
                return Settled::Stale;
            }
            Settlement::Ack(Ack::Completed(completion)) => {
                self.output.clone_from(&completion.output);
                self.note.clone_from(&completion.note);
                self.end_attempt("completed", None, now);
                self.finish(State::Completed, now);
            }
            Settlement::Ack(Ack::Cancelled) => {
                self.end_attempt("cancelled", None, now);
                self.finish(State::Cancelled, now);
            }
            Settlement::Retry(retry) => {
                self.error = retry.error.as_ref().map(|error| error.message.clone());
                let class = match (&retry.error, retry.counted) {
                    (Some(error), true) => error.class,
                    (None, true) => ErrorClass::Error,
                    (_, false) => ErrorClass::Released,
                };
                let strange = |error: &ErrorReport| error.class == ErrorClass::UnknownKind;
                self.strange = !retry.counted && retry.error.as_ref().is_some_and(strange);
                self.end_attempt(class.as_str(), self.error.clone(), now);
                self.run_at = later(now, retry.delay);
                if retry.counted {
                    self.attempt = retry.next.attempt;
                }
                match (retry.delay.is_zero(), retry.counted) {
                    _ if self.is_unwanted() => self.finish(State::Cancelled, now),
                    (true, _) => self.state = State::Available,
                    (false, true) => self.state = State::Retrying,
                    (false, false) => self.state = State::Scheduled,
                }
            }
            Settlement::DeadLetter(letter) => {
                self.error = Some(letter.error.message.clone());
                self.reason = Some(letter.reason);
                self.end_attempt("dead", self.error.clone(), now);
                self.finish(State::Dead, now);
            }
        }
        Settled::Applied
    }

    /// Takes in a running job whose kind its worker does not know; `known` = a worker that does lives.
    pub(super) fn park(&mut self, lease: &Lease, known: bool, now: Timestamp) -> bool {
        if !self.is_held_by(lease) || self.is_unwanted() || self.envelope.is_sensitive() {
            return false;
        }
        self.end_attempt("released", None, now);
        (self.lease_until, self.worker) = (None, None);
        self.state = State::Available;
        self.aside = !known;
        self.strange = true;
        self.published = !known;
        let pause = Duration::from_millis((16 << self.token.0.clamp(0, 11)).min(30_000));
        self.held_until = known.then(|| later(now, pause));
        true
    }

    /// Its message is let go while it runs: the lease alone holds it.
    pub(super) fn hand_over(&mut self, lease: &Lease) -> bool {
        let keeps = self.is_held_by(lease) && self.envelope.may_be_kept() && !self.anonymous;
        if keeps {
            (self.published, self.held_until) = (false, None);
        }
        keeps
    }

    /// The relay is to publish it again.
    pub(super) fn offer(&mut self) {
        (self.aside, self.published, self.held_until) = (false, false, None);
    }

    pub(super) fn finish(&mut self, state: State, now: Timestamp) {
        self.state = state;
        self.finished_at = Some(now);
    }

    pub(super) fn record(&self) -> JobRecord {
        let kept = self.envelope.may_be_kept();
        JobRecord {
            id: self.envelope.id,
            kind: self.envelope.kind.clone(),
            queue: self.envelope.queue.clone(),
            broker: self.broker.clone(),
            is_foreign: !matches!(self.broker.as_str(), "postgres" | "embedded"),
            state: self.state,
            parked: (self.strange || self.aside) && matches!(self.state, State::Scheduled | State::Available),
            attempt: self.attempt,
            max_attempts: self.envelope.max_attempts,
            priority: self.envelope.priority,
            token: self.token,
            run_at: self.run_at,
            created_at: self.envelope.created_at,
            started_at: self.attempts.last().map(|attempt| attempt.started_at),
            finished_at: self.finished_at,
            error: match self.aside && self.state == State::Available {
                true => Some(format!(
                    "{PARKED}nobody who looked at it has a handler for kind {}",
                    self.envelope.kind
                )),
                false => self.error.clone(),
            },
            reason: self.reason.map(|reason| reason.as_str().to_owned()),
            effect: self.effect,
            note: self.note.clone(),
            worker: self.worker.clone(),
            lease_until: self.lease_until,
            crashes: self.crashes,
            progress: self.progress.clone(),
            output: self.output.clone(),
            payload: kept.then(|| self.envelope.payload.clone()),
            payload_size: self.envelope.payload.len() as u64,
            headers: self.envelope.headers.clone(),
            unique_key: self.envelope.unique.as_ref().map(|unique| unique.key.clone()),
            user_id: self.envelope.user_id,
        }
    }

    fn end_attempt(&mut self, outcome: &str, error: Option<String>, now: Timestamp) {
        if let Some(last) = self.attempts.last_mut().filter(|last| last.ended_at.is_none()) {
            last.ended_at = Some(now);
            last.outcome = Some(outcome.to_owned());
            last.error = error;
        }
    }
}

/// `now + time`, at most the end of time.
pub(super) fn later(now: Timestamp, time: Duration) -> Timestamp {
    let time = jiff::SignedDuration::try_from(time).unwrap_or(jiff::SignedDuration::MAX);
    now.checked_add(time).unwrap_or(Timestamp::MAX)
}
