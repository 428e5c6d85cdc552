//! How many deliveries may be with this consumer, and which of its subscriptions they belong to. Pure: no channel, no clock.
//!
//! RabbitMQ fixes a subscription's prefetch when it begins. So there may be several, whose prefetches add up: one ends when a
//! slot is taken by a job that was handed over, and another begins with whatever is free. What a subscription that has ended
//! left behind counts until it is settled.

use std::{collections::BTreeMap, sync::Arc};

use lapin::types::ShortString;
use tokio::sync::OnceCell;

/// The most that a quorum queue takes as a prefetch.
const MOST: usize = 2000;

/// How many deliveries a pool wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    slots: usize,
    prefetch: usize,
}

impl Limits {
    /// As many as the pool asks for: its slots and what it wants to have at hand. More would be kept from others.
    pub(super) fn new(configured: Option<u16>, slots: usize) -> Self {
        let slots = slots.max(1);
        let prefetch = configured.map_or(slots.min(MOST), |configured| usize::from(configured.max(1)));
        Self { slots, prefetch }
    }

    pub(super) fn prefetch(self) -> usize {
        self.prefetch
    }

    /// How many may be with us while so many slots are taken without a delivery. None when all are: whatever came would wait
    /// behind them, out of everybody's reach.
    pub(super) fn beside(self, occupied: usize) -> usize {
        match self.slots.saturating_sub(occupied) {
            0 => 0,
            free => self.prefetch.min(free + self.prefetch.saturating_sub(self.slots)),
        }
    }
}

/// One subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) number: u64,
    pub(super) tag: ShortString,
    /// Set when the server has confirmed its end.
    pub(super) ended: OnceCell<()>,
}

#[derive(Debug)]
struct Share {
    subscription: Arc<Subscription>,
    prefetch: usize,
    /// Taken from it and not settled.
    out: usize,
    /// It is being ended by us.
    ending: bool,
    /// It has ended, and everything that the server pushed is taken.
    drained: bool,
}

impl Share {
    fn is_live(&self) -> bool {
        !self.ending && !self.drained
    }
}

/// What is to be done so that as many deliveries are with us as may be.
#[derive(Debug)]
pub(super) enum Step {
    /// Subscribe with this prefetch.
    Begin(u16),
    /// More slots are taken than were; or nothing is out, and one subscription can stand for many.
    End(Vec<Arc<Subscription>>),
}

/// The subscriptions of one channel.
#[derive(Debug, Default)]
pub(super) struct Window {
    shares: BTreeMap<u64, Share>,
    begun: u64,
    /// Deliveries that are being handed over: they count as out, and their slots as occupied.
    leaving: usize,
}

impl Window {
    pub(super) fn begun(&mut self, tag: ShortString, prefetch: usize) -> Arc<Subscription> {
        self.begun += 1;
        let subscription = Arc::new(Subscription { number: self.begun, tag, ended: OnceCell::new() });
        let share =
            Share { subscription: subscription.clone(), prefetch, out: 0, ending: false, drained: false };
        self.shares.insert(self.begun, share);
        subscription
    }

    pub(super) fn taken(&mut self, number: u64) {
        if let Some(share) = self.shares.get_mut(&number) {
            share.out += 1;
        }
    }

    /// A delivery is settled, or goes back; whether there is room now that the server does not fill by itself.
    pub(super) fn settled(&mut self, number: u64) -> bool {
        let Some(share) = self.shares.get_mut(&number) else { return false };
        share.out = share.out.saturating_sub(1);
        let (room, gone) = (!share.is_live(), share.drained && share.out == 0);
        if gone {
            self.shares.remove(&number);
        }
        room || self.is_to_be_merged()
    }

    /// Everything that came of it is taken. Whether it was us who ended it.
    pub(super) fn drained(&mut self, number: u64) -> bool {
        let Some(share) = self.shares.get_mut(&number) else { return true };
        share.drained = true;
        let (asked, gone) = (share.ending, share.out == 0);
        if gone {
            self.shares.remove(&number);
        }
        asked
    }

    pub(super) fn ending(&mut self, number: u64, ending: bool) {
        if let Some(share) = self.shares.get_mut(&number) {
            share.ending = ending;
        }
    }

    pub(super) fn subscription(&self, number: u64) -> Option<Arc<Subscription>> {
        self.shares.get(&number).map(|share| share.subscription.clone())
    }

    pub(super) fn leaves(&mut self) {
        self.leaving += 1;
    }

    pub(super) fn left(&mut self) {
        self.leaving = self.leaving.saturating_sub(1);
    }

    /// Those of which messages may still come, also when their end is under way.
    pub(super) fn open(&self) -> Vec<Arc<Subscription>> {
        self.shares.values().filter(|share| !share.drained).map(|share| share.subscription.clone()).collect()
    }

    fn is_to_be_merged(&self) -> bool {
        self.shares.len() > 1 && self.shares.values().all(|share| share.out == 0 && share.is_live())
    }

    /// The next thing to do, if any.
    pub(super) fn step(&self, limits: Limits, occupied: usize) -> Option<Step> {
        let room = limits.beside(occupied.saturating_sub(self.leaving));
        let stays = |share: &Share| if share.is_live() { share.prefetch } else { share.out };
        let stay: usize = self.shares.values().map(stays).sum();
        let too_many = stay.saturating_sub(room);
        if too_many > 0 {
            let live = self.shares.values().filter(|share| share.is_live());
            // The smallest that is enough, else the largest.
            let end = live.min_by_key(|share| match share.prefetch >= too_many {
                true => (false, share.prefetch),
                false => (true, usize::MAX - share.prefetch),
            });
            return end.map(|share| Step::End(vec![share.subscription.clone()]));
        }
        if self.is_to_be_merged() {
            return Some(Step::End(self.open()));
        }
        // What was pushed to one that ends and is not taken yet may be as much as it could get.
        let may_be = |share: &Share| if share.drained { share.out } else { share.prefetch };
        let here: usize = self.shares.values().map(may_be).sum();
        match room.saturating_sub(here) {
            0 => None,
            free => Some(Step::Begin(u16::try_from(free).unwrap_or(u16::MAX))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(window: &mut Window, prefetch: usize) -> u64 {
        window.begun("tag".into(), prefetch).number
    }

    fn begins(window: &Window, limits: Limits, occupied: usize) -> Option<u16> {
        match window.step(limits, occupied) {
            Some(Step::Begin(prefetch)) => Some(prefetch),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    fn ends(window: &Window, limits: Limits, occupied: usize) -> Vec<u64> {
        match window.step(limits, occupied) {
            Some(Step::End(ended)) => ended.iter().map(|subscription| subscription.number).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn prefetch_is_what_the_pool_asks_for() {
        let prefetch = |configured, slots| Limits::new(configured, slots).prefetch();
        assert_eq!(prefetch(None, 10), 10);
        assert_eq!(prefetch(None, 0), 1);
        assert_eq!(prefetch(None, 100_000), 2000);
        assert_eq!(prefetch(Some(7), 1000), 7);
    }

    #[test]
    fn what_may_be_here_shrinks_with_the_free_slots_and_never_grows_beyond_the_prefetch() {
        let beside = |configured, slots| {
            let limits = Limits::new(configured, slots);
            move |occupied| limits.beside(occupied)
        };
        assert_eq!([0, 1, 9, 10, 11].map(beside(None, 10)), [10, 9, 1, 0, 0]);
        assert_eq!([0, 1, 7, 8, 9, 10].map(beside(Some(2), 10)), [2, 2, 2, 2, 1, 0]);
        assert_eq!([0, 1, 9, 10].map(beside(Some(15), 10)), [15, 14, 6, 0]);
    }

    #[test]
    fn what_an_ended_subscription_left_behind_counts_until_it_is_settled() {
        let (limits, mut window) = (Limits::new(None, 4), Window::default());
        assert_eq!(begins(&window, limits, 0), Some(4));
        let first = begin(&mut window, 4);
        (0..4).for_each(|_| window.taken(first));
        assert_eq!(begins(&window, limits, 0), None);
        // One of the four is handed over: nothing more is to be done for it than what its receipt does.
        window.leaves();
        window.ending(first, true);
        assert_eq!(begins(&window, limits, 1), None);
        assert!(window.drained(first), "it was ended by us");
        assert!(window.settled(first));
        window.left();
        assert_eq!(begins(&window, limits, 1), None, "three slots are free for three deliveries");
        assert!(window.settled(first));
        assert_eq!(begins(&window, limits, 1), Some(1));
        begin(&mut window, 1);
        assert!(window.settled(first));
        assert_eq!(begins(&window, limits, 0), Some(2), "the long job has ended");
    }

    #[test]
    fn too_much_ends_as_little_as_is_enough() {
        let (limits, mut window) = (Limits::new(None, 10), Window::default());
        for prefetch in [5, 3, 2] {
            let share = begin(&mut window, prefetch);
            window.taken(share);
        }
        assert_eq!(ends(&window, limits, 1), [3]);
        assert_eq!(ends(&window, limits, 3), [2]);
        assert_eq!(ends(&window, limits, 7), [1], "the largest first");
        window.ending(3, true);
        assert_eq!(begins(&window, limits, 1), None, "until it is known what was pushed");
        window.drained(3);
        assert_eq!(begins(&window, limits, 1), None, "nine: eight that push and one that is out");
    }

    #[test]
    fn idle_subscriptions_become_one() {
        let (limits, mut window) = (Limits::new(None, 3), Window::default());
        for _ in 0..3 {
            let share = begin(&mut window, 1);
            window.taken(share);
        }
        assert!(!window.settled(1) && !window.settled(2));
        assert_eq!(begins(&window, limits, 0), None);
        assert!(window.settled(3), "nothing is out");
        assert_eq!(ends(&window, limits, 0), [1, 2, 3]);
        for share in 1..=3 {
            window.ending(share, true);
            window.drained(share);
        }
        assert_eq!(begins(&window, limits, 0), Some(3));
    }

    #[test]
    fn a_subscription_that_the_server_ended_is_told_from_ours() {
        let mut window = Window::default();
        let share = begin(&mut window, 1);
        assert!(!window.drained(share));
    }
}
