//! One caller's line to the servers: what is lost on it, what is late, and the call at which the caller dies.
//!
//! A process is only seen through its calls: to die between two calls is the same as to die just before the second
//! or just after the first. So a death is planned at a call, before or after the server did it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{book::Book, weather::Weather};
use crate::memory::{Fault, Faults};

/// How bad a line is: chances for each call.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Quality {
    /// The request is lost.
    pub(super) lost: f64,
    /// The answer is lost.
    pub(super) unanswered: f64,
    /// Request or answer are late.
    pub(super) late: f64,
    /// The longest delay.
    pub(super) latest: Duration,
    /// The caller dies at a call that matters.
    pub(super) deadly: f64,
}

struct State {
    rng: SmallRng,
    doomed: bool,
    frozen_until: Option<Instant>,
}

struct Inner {
    name: String,
    quality: Quality,
    state: Mutex<State>,
    doom: Notify,
    weather: Weather,
    book: Book,
}

/// One caller's line. Cheap to clone; clones are the same line.
#[derive(Clone)]
pub(super) struct Line(Arc<Inner>);

impl Line {
    pub(super) fn new(name: &str, seed: u64, quality: Quality, weather: &Weather, book: &Book) -> Self {
        let state = State { rng: SmallRng::seed_from_u64(seed), doomed: false, frozen_until: None };
        Self(Arc::new(Inner {
            name: name.to_owned(),
            quality,
            state: Mutex::new(state),
            doom: Notify::new(),
            weather: weather.clone(),
            book: book.clone(),
        }))
    }

    /// A switchboard for one handle on a server.
    pub(super) fn faults(&self) -> Faults {
        let (faults, line) = (Faults::default(), self.clone());
        faults.plan(move |call| line.strike(call));
        faults
    }

    /// Ends the caller: no call of it comes back any more.
    pub(super) fn kill(&self) {
        self.state().doomed = true;
        self.0.doom.notify_one();
    }

    /// Resolves when the caller has to die.
    pub(super) async fn doomed(&self) {
        self.0.doom.notified().await;
    }

    /// Stops the caller in the eyes of the world until then.
    pub(super) fn freeze(&self, until: Instant) {
        self.state().frozen_until = Some(until);
    }

    pub(super) fn thaw(&self) {
        self.state().frozen_until = None;
    }

    /// Waits while the caller is frozen; never returns in a dead one.
    pub(super) async fn awake(&self) {
        loop {
            let (doomed, frozen_until) = {
                let state = self.state();
                (state.doomed, state.frozen_until)
            };
            match frozen_until.filter(|until| *until > Instant::now()) {
                _ if doomed => std::future::pending().await,
                Some(until) => sleep_until(until).await,
                None => return,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strike(&self, call: &'static str) -> Fault {
        let fault = self.fault(call);
        if fault != Fault::None {
            self.0.book.note(|| format!("{} {call}: {fault:?}", self.0.name));
        }
        fault
    }

    fn fault(&self, call: &'static str) -> Fault {
        let mut state = self.state();
        if state.doomed {
            return Fault::Hang;
        }
        let struck = self.0.weather.strike(call);
        let now = Instant::now();
        if let Some(until) = state.frozen_until.filter(|until| *until > now) {
            return Fault::Delay(until - now);
        }
        if struck != Fault::None || self.0.weather.is_calm() {
            return struck;
        }
        let quality = self.0.quality;
        if matters(call) && state.rng.random_bool(quality.deadly) {
            state.doomed = true;
            self.0.doom.notify_one();
            return if state.rng.random_bool(0.5) { Fault::Hang } else { Fault::HangAfter };
        }
        let dice: f64 = state.rng.random();
        let time = quality.latest.mul_f64(state.rng.random::<f64>().powi(3));
        match dice {
            dice if dice < quality.lost => Fault::Before,
            dice if dice < quality.lost + quality.unanswered => Fault::After,
            dice if dice < quality.lost + quality.unanswered + quality.late / 2.0 => Fault::Delay(time),
            dice if dice < quality.lost + quality.unanswered + quality.late => Fault::Late(time),
            _ => Fault::None,
        }
    }
}

/// Calls that change something; the rest is asked again and again and changes nothing.
fn matters(call: &str) -> bool {
    !matches!(
        call,
        "store.paused"
            | "store.promote"
            | "store.rescue"
            | "store.announce"
            | "store.last_tick"
            | "store.prune"
            | "store.workers"
            | "store.beat"
            | "broker.depth"
            | "broker.ping"
            | "store.take_unpublished"
    )
}
