//! What one connection is doing, and until when it may.
//!
//! The deadline is a function of what happened, asked when a timer fires; nothing rearms a timer for each byte.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::Times;

/// How many bytes of an answer buy a slow reader a further second.
const BYTES_A_SECOND: u64 = 1024;

/// One connection.
#[derive(Debug)]
pub(crate) struct Life {
    state: Mutex<State>,
    over: AtomicBool,
    told: Notify,
}

/// When to look again, or why the connection ends now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tick {
    /// Nothing can be overdue before.
    Until(Instant),
    /// What the client did not do in time.
    Overdue(&'static str),
}

#[derive(Debug)]
struct State {
    born: Instant,
    first_byte: bool,
    http2: bool,
    /// Requests whose head came whole.
    heads: u64,
    /// Requests that are not over, and those of them that we work on.
    open: u32,
    working: u32,
    /// Since when everything open waits for the client.
    waiting: Instant,
    /// When the first byte of a further head came (HTTP/1).
    next_head: Option<Instant>,
    /// Output that the client does not take.
    blocked: Option<Untaken>,
    /// Answers that the client is waited for to take, by the number of their request. HTTP/2 has a window for each, so that
    /// the socket says nothing of them.
    answers: HashMap<u64, Untaken>,
    /// Requests that the client gave up, less those it let us answer.
    given_up: u32,
}

/// What the client is waited for to take: since when, and how much it took since.
#[derive(Debug, Clone, Copy)]
struct Untaken {
    since: Instant,
    bytes: u64,
}

impl Untaken {
    fn now() -> Self {
        Self { since: Instant::now(), bytes: 0 }
    }

    fn took(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn deadline(self, times: &Times) -> Instant {
        self.since + times.answer + Duration::from_secs(self.bytes / BYTES_A_SECOND)
    }
}

impl Life {
    /// A connection that was just accepted.
    pub(crate) fn begin() -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            born: now,
            first_byte: false,
            http2: false,
            heads: 0,
            open: 0,
            working: 0,
            waiting: now,
            next_head: None,
            blocked: None,
            answers: HashMap::new(),
            given_up: 0,
        };
        Arc::new(Self { state: Mutex::new(state), over: AtomicBool::new(false), told: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.told.notify_one();
    }

    /// Resolves when [`Self::end`] was called.
    pub(crate) async fn ended(&self) {
        while !self.over.load(Ordering::Acquire) {
            self.told.notified().await;
        }
    }

    /// Since when the client is waited for; `None` while we work, or once the connection was ended.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.working == 0 && !self.over.load(Ordering::Acquire)).then_some(state.waiting)
    }

    /// Bytes came.
    pub(crate) fn read(&self) {
        let mut state = self.state();
        state.first_byte = true;
        if state.heads > 0 && state.open == 0 && !state.http2 && state.next_head.is_none() {
            state.next_head = Some(Instant::now());
        }
    }

    /// The client took this many bytes.
    pub(crate) fn wrote(&self, bytes: usize) {
        if let Some(blocked) = &mut self.state().blocked {
            blocked.took(bytes as u64);
        }
    }

    /// The client takes no more at the moment.
    pub(crate) fn stuck(&self) {
        self.state().blocked.get_or_insert_with(Untaken::now);
    }

    /// All that was to be written is.
    pub(crate) fn flushed(&self) {
        self.state().blocked = None;
    }

    /// Whether a limit is passed, and else when to ask again.
    pub(crate) fn tick(&self, times: &Times, now: Instant) -> Tick {
        let (deadline, what) = self.state().deadline(times);
        // What begins a moment after this look cannot be overdue earlier than the shortest limit from now.
        let soon = now + times.head.min(times.body).min(times.answer).min(times.idle);
        match deadline {
            Some(deadline) if deadline <= now => Tick::Overdue(what),
            Some(deadline) => Tick::Until(deadline.min(soon)),
            None => Tick::Until(soon),
        }
    }
}

impl State {
    fn deadline(&self, times: &Times) -> (Option<Instant>, &'static str) {
        if !self.first_byte {
            return (Some(self.born + times.first_byte), "no byte came");
        }
        if self.heads == 0 {
            return (Some(self.born + times.head), "no whole request head came");
        }
        let untaken = self.blocked.iter().chain(self.answers.values()).map(|one| one.deadline(times)).min();
        let (turn, what) = self.turn_deadline(times);
        match untaken {
            Some(untaken) if self.blocked.is_some() || turn.is_none_or(|turn| untaken <= turn) => {
                (Some(untaken), "the answer is not taken")
            }
            _ => (turn, what),
        }
    }

    /// The deadline of what is not an answer.
    fn turn_deadline(&self, times: &Times) -> (Option<Instant>, &'static str) {
        match (self.working, self.open, self.next_head) {
            (0, 0, Some(begun)) => (Some(begun + times.head), "no whole request head came"),
            (0, 0, None) => (Some(self.waiting + times.idle), "no further request came"),
            (0, open, _) if open as usize <= self.answers.len() => (None, ""),
            // Bodies and answers have deadlines of their own; this one is for whoever waits in the line of its network.
            (0, _, _) => (Some(self.waiting + times.body + times.answer), "the client stood still"),
            _ => (None, ""),
        }
    }
}

/// One request, from its head to the end of its answer. At first it is our turn.
#[derive(Debug)]
pub(crate) struct Turn {
    life: Arc<Life>,
    /// Which request of the connection it is.
    number: u64,
    ours: bool,
}

impl Turn {
    /// A head came whole.
    pub(crate) fn begin(life: &Arc<Life>, http2: bool) -> Self {
        let mut state = life.state();
        state.http2 = http2;
        state.heads += 1;
        state.open += 1;
        state.working += 1;
        state.next_head = None;
        let number = state.heads;
        drop(state);
        Self { life: Arc::clone(life), number, ours: true }
    }

    /// The client is waited for.
    pub(crate) fn theirs(&mut self) {
        if std::mem::replace(&mut self.ours, false) {
            self.life.state().rest();
        }
    }

    /// The client is waited for to take the answer, and took so much of it just now.
    pub(crate) fn taking(&mut self, bytes: usize) {
        let mut state = self.life.state();
        state.answers.entry(self.number).or_insert_with(Untaken::now).took(bytes as u64);
        if std::mem::replace(&mut self.ours, false) {
            state.rest();
        }
    }

    /// We work on it.
    pub(crate) fn ours(&mut self) {
        if !std::mem::replace(&mut self.ours, true) {
            let mut state = self.life.state();
            state.working += 1;
            state.answers.remove(&self.number);
        }
    }

    /// It has an answer: that makes up for one that was given up.
    pub(crate) fn answered(&mut self) {
        let mut state = self.life.state();
        state.given_up = state.given_up.saturating_sub(1);
    }

    /// The client gave it up before there was an answer; true when it does that too often.
    pub(crate) fn given_up(&mut self, most: u32) -> bool {
        let mut state = self.life.state();
        state.given_up = state.given_up.saturating_add(1);
        state.given_up > most
    }

    /// Ends the whole connection.
    pub(crate) fn end_connection(&self, why: &'static str) {
        tracing::debug!(why, "a connection is ended");
        self.life.end();
    }
}

impl State {
    /// One request less that we work on.
    fn rest(&mut self) {
        self.working = self.working.saturating_sub(1);
        if self.working == 0 {
            self.waiting = Instant::now();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.life.state();
        state.open = state.open.saturating_sub(1);
        state.answers.remove(&self.number);
        match self.ours {
            true => state.rest(),
            false if state.working == 0 => state.waiting = Instant::now(),
            false => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times() -> Times {
        Times::default()
    }

    fn overdue(life: &Life, after: Duration) -> Option<&'static str> {
        match life.tick(&times(), Instant::now() + after) {
            Tick::Overdue(what) => Some(what),
            Tick::Until(_) => None,
        }
    }

    const LATE: Duration = Duration::from_millis(100);

    #[test]
    fn before_the_first_request_bytes_do_not_buy_time() {
        let life = Life::begin();
        assert_eq!(overdue(&life, times().first_byte - LATE), None);
        assert_eq!(overdue(&life, times().first_byte + LATE), Some("no byte came"));
        life.read();
        assert_eq!(overdue(&life, times().first_byte + LATE), None);
        life.read();
        assert_eq!(overdue(&life, times().head + LATE), Some("no whole request head came"));
    }

    #[test]
    fn while_we_work_nothing_is_overdue_and_nobody_is_sent_away() {
        let life = Life::begin();
        life.read();
        let mut turn = Turn::begin(&life, false);
        assert_eq!(life.waiting_since(), None);
        assert_eq!(overdue(&life, Duration::from_secs(3600)), None);
        turn.theirs();
        assert!(life.waiting_since().is_some());
        assert_eq!(overdue(&life, times().body + times().answer + LATE), Some("the client stood still"));
        turn.ours();
        assert_eq!(overdue(&life, Duration::from_secs(3600)), None);
        drop(turn);
        assert_eq!(overdue(&life, times().idle - LATE), None);
        assert_eq!(overdue(&life, times().idle + LATE), Some("no further request came"));
    }

    #[test]
    fn a_second_head_that_drips_is_overdue_and_http2_frames_are_no_head() {
        for http2 in [false, true] {
            let life = Life::begin();
            life.read();
            drop(Turn::begin(&life, http2));
            life.read();
            let after = overdue(&life, times().head + LATE);
            assert_eq!(after, (!http2).then_some("no whole request head came"));
            assert!(overdue(&life, times().idle + LATE).is_some(), "frames keep nothing alive");
        }
    }

    #[test]
    fn a_slow_reader_earns_time_by_reading() {
        let life = Life::begin();
        life.read();
        let turn = Turn::begin(&life, false);
        life.stuck();
        assert_eq!(overdue(&life, times().answer + LATE), Some("the answer is not taken"));
        life.wrote(10);
        assert_eq!(
            overdue(&life, times().answer + LATE),
            Some("the answer is not taken"),
            "ten bytes buy nothing"
        );
        life.wrote(10 * 1024);
        assert_eq!(overdue(&life, times().answer + LATE), None);
        life.flushed();
        assert_eq!(overdue(&life, Duration::from_secs(3600)), None);
        drop(turn);
    }

    #[test]
    fn an_answer_that_nobody_takes_is_overdue_whatever_else_goes_on() {
        let life = Life::begin();
        life.read();
        let mut held = Turn::begin(&life, true);
        held.taking(0);
        let _at_work = Turn::begin(&life, true);
        assert_eq!(overdue(&life, times().answer - LATE), None);
        assert_eq!(overdue(&life, times().answer + LATE), Some("the answer is not taken"));
        held.taking(10 * 1024);
        assert_eq!(overdue(&life, times().answer + LATE), None, "who takes it slowly has earned time");
        let mut further = Turn::begin(&life, true);
        further.taking(0);
        assert_eq!(
            overdue(&life, times().answer + LATE),
            Some("the answer is not taken"),
            "each has its own"
        );
        further.ours();
        assert_eq!(overdue(&life, times().answer + LATE), None, "nothing is there to be taken");
        drop(held);
        assert_eq!(overdue(&life, Duration::from_secs(3600)), None);
    }

    #[test]
    fn giving_up_again_and_again_is_too_often_and_answers_make_up_for_it() {
        let life = Life::begin();
        for n in 0..20 {
            assert!(!Turn::begin(&life, true).given_up(10), "{n}");
            Turn::begin(&life, true).answered();
        }
        let too_often = (0..11).map(|_| Turn::begin(&life, true).given_up(10)).collect::<Vec<_>>();
        assert_eq!(too_often.iter().filter(|yes| **yes).count(), 1, "{too_often:?}");
    }

    #[tokio::test]
    async fn the_end_is_heard_before_and_after() {
        let life = Life::begin();
        life.end();
        life.ended().await;
        assert_eq!(life.waiting_since(), None);
    }
}
