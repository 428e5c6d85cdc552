//! Whose password is hashed next: a bounded waiting room before the slots, fair to networks, with a part for logins.
//!
//! Networks take turns, so that whoever fills the room waits for itself. In a full room the network that has by far the
//! most places gives up its newest one to another network, which is told so at once: a flood turns away nobody else.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// What a hash is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    /// A login: a quarter of the places is for logins alone.
    Login,
    /// A registration, or a password that is given again for a code.
    Other,
}

/// No place, or a place that was given to somebody else.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// The room and its slots. Cloning shares it.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<Room>>);

struct Room {
    free: usize,
    places: usize,
    waiting: usize,
    /// Of those who wait, the ones that are no login.
    others: usize,
    /// The networks in the order of their turns; none is empty.
    lines: VecDeque<Line>,
    last: u64,
}

struct Line {
    network: String,
    waiters: VecDeque<Waiter>,
}

struct Waiter {
    number: u64,
    errand: Errand,
    call: oneshot::Sender<Turn>,
}

/// A slot, for as long as it is kept.
pub(super) struct Turn(Option<Turns>);

/// A place in the room, or a slot that was free.
pub(super) enum Seat {
    Called(Turn),
    Waiting(Ticket, oneshot::Receiver<Turn>),
}

/// Gives the place up when it is dropped.
pub(super) struct Ticket {
    turns: Turns,
    network: String,
    number: u64,
}

impl Turns {
    /// So many at once, and so many places to wait for one of them.
    pub(super) fn new(slots: usize, places: usize) -> Self {
        let (free, lines) = (slots.max(1), VecDeque::new());
        Self(Arc::new(Mutex::new(Room { free, places, waiting: 0, others: 0, lines, last: 0 })))
    }

    /// Takes a place. The time until [`Seat::turn`] is waiting time already.
    pub(super) fn sit(&self, errand: Errand, network: &str) -> Result<Seat, Full> {
        let mut room = self.room();
        if room.free > 0 {
            room.free -= 1;
            return Ok(Seat::Called(Turn(Some(self.clone()))));
        }
        let (number, called) = room.sit(errand, network)?;
        Ok(Seat::Waiting(Ticket { turns: self.clone(), network: network.to_owned(), number }, called))
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot is free: the next one who still waits has it.
    fn pass_on(&self) {
        loop {
            let Some(next) = self.next() else { return };
            match next.call.send(Turn(Some(self.clone()))) {
                Ok(()) => return,
                // Gone meanwhile. The lock is not held here, so the turn may be dropped; but its slot is ours still.
                Err(mut turn) => turn.0 = None,
            }
        }
    }

    fn next(&self) -> Option<Waiter> {
        let mut room = self.room();
        let next = room.next();
        if next.is_none() {
            room.free += 1;
        }
        next
    }
}

impl Room {
    fn sit(&mut self, errand: Errand, network: &str) -> Result<(u64, oneshot::Receiver<Turn>), Full> {
        let of_others = self.places - self.places / 4;
        let others_full = errand == Errand::Other && self.others >= of_others;
        if (others_full || self.waiting >= self.places) && !self.make_room(network, others_full) {
            return Err(Full);
        }
        self.last += 1;
        let (call, called) = oneshot::channel();
        let waiter = Waiter { number: self.last, errand, call };
        self.count(errand, 1);
        match self.lines.iter_mut().find(|line| line.network == network) {
            Some(line) => line.waiters.push_back(waiter),
            None => {
                let line = Line { network: network.to_owned(), waiters: VecDeque::from([waiter]) };
                self.lines.push_back(line);
            }
        }
        Ok((self.last, called))
    }

    /// Takes the newest place of the network that has the most, if that is at least two more than this one has.
    fn make_room(&mut self, network: &str, among_others: bool) -> bool {
        let counts = |waiter: &Waiter| !among_others || waiter.errand == Errand::Other;
        let held = |line: &Line| line.waiters.iter().filter(|waiter| counts(waiter)).count();
        let own = self.lines.iter().find(|line| line.network == network).map_or(0, held);
        let Some((index, most)) = self.lines.iter().map(held).enumerate().max_by_key(|(_, held)| *held)
        else {
            return false;
        };
        if most <= own + 1 {
            return false;
        }
        let newest = self.lines[index].waiters.iter().rposition(counts);
        newest.is_some_and(|place| self.take_out(index, place).is_some())
    }

    fn next(&mut self) -> Option<Waiter> {
        let networks = self.lines.len();
        let waiter = self.take_out(0, 0)?;
        if self.lines.len() == networks {
            // Its network has more who wait: they wait for all the others now.
            self.lines.rotate_left(1);
        }
        Some(waiter)
    }

    fn take_out(&mut self, line: usize, place: usize) -> Option<Waiter> {
        let waiters = &mut self.lines.get_mut(line)?.waiters;
        let waiter = waiters.remove(place)?;
        if waiters.is_empty() {
            self.lines.remove(line);
        }
        self.count(waiter.errand, -1);
        Some(waiter)
    }

    fn count(&mut self, errand: Errand, by: isize) {
        self.waiting = self.waiting.saturating_add_signed(by);
        if errand == Errand::Other {
            self.others = self.others.saturating_add_signed(by);
        }
    }
}

impl Seat {
    /// Waits until it is this one's turn.
    pub(super) async fn turn(self) -> Result<Turn, Full> {
        match self {
            Self::Called(turn) => Ok(turn),
            Self::Waiting(_ticket, called) => called.await.map_err(|_| Full),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut room = self.turns.room();
        let Some(line) = room.lines.iter().position(|line| line.network == self.network) else { return };
        let place = room.lines[line].waiters.iter().position(|waiter| waiter.number == self.number);
        if let Some(place) = place {
            let gone = room.take_out(line, place);
            drop(room);
            drop(gone);
        }
    }
}

#[cfg(test)]
impl Turns {
    pub(super) fn free_and_waiting(&self) -> (usize, usize) {
        let room = self.room();
        (room.free, room.waiting)
    }
}

#[cfg(test)]
mod tests {
    use Errand::{Login, Other};

    use super::*;

    fn waiting(turns: &Turns, errand: Errand, network: &str) -> Seat {
        turns.sit(errand, network).unwrap_or_else(|_| panic!("{errand:?} of {network} finds a place"))
    }

    /// Whether the seat has its turn now, without waiting for it.
    fn called(seat: &mut Seat) -> Option<Turn> {
        match seat {
            Seat::Called(_) => panic!("a slot was free"),
            Seat::Waiting(_, called) => called.try_recv().ok(),
        }
    }

    fn evicted(seat: &mut Seat) -> bool {
        let Seat::Waiting(_, called) = seat else { return false };
        matches!(called.try_recv(), Err(oneshot::error::TryRecvError::Closed))
    }

    #[test]
    fn networks_take_turns_however_many_each_sends() {
        let turns = Turns::new(1, 64);
        let mut slot = turns.sit(Login, "flood").ok();
        let mut flood: Vec<Seat> = (0..20).map(|_| waiting(&turns, Login, "flood")).collect();
        let mut honest = waiting(&turns, Login, "honest");
        drop(slot.take());
        let first = called(&mut flood[0]).expect("the flood was first");
        assert!(called(&mut honest).is_none());
        drop(first);
        let second = called(&mut honest).expect("twenty wait longer, and one network");
        assert!(flood[1..].iter_mut().all(|seat| called(seat).is_none()));
        drop(second);
        assert!(called(&mut flood[1]).is_some(), "first come, first served within a network");
    }

    #[test]
    fn a_quarter_of_the_places_is_for_logins() {
        let turns = Turns::new(2, 8);
        let _slots = [turns.sit(Other, "a"), turns.sit(Other, "a")];
        let _others: Vec<Seat> = (0..6).map(|_| waiting(&turns, Other, "a")).collect();
        assert!(turns.sit(Other, "a").is_err());
        let _logins = [waiting(&turns, Login, "a"), waiting(&turns, Login, "a")];
        assert!(turns.sit(Login, "a").is_err(), "eight places and not one more");
    }

    #[test]
    fn a_full_room_is_made_to_share_and_logins_lose_nothing_to_others() {
        let turns = Turns::new(1, 8);
        let _slot = turns.sit(Login, "flood");
        let mut flood: Vec<Seat> = (0..8).map(|_| waiting(&turns, Login, "flood")).collect();
        let mut honest: Vec<Seat> = (0..4).map(|_| waiting(&turns, Login, "honest")).collect();
        assert_eq!(flood.iter_mut().filter_map(|seat| evicted(seat).then_some(())).count(), 4);
        assert!(flood[4..].iter_mut().all(evicted), "the newest go first");
        assert!(
            turns.sit(Login, "honest").is_err() && turns.sit(Login, "flood").is_err(),
            "four each is even"
        );
        assert!(!honest.iter_mut().any(evicted));
        let mut third = waiting(&turns, Other, "third");
        assert!(called(&mut third).is_none());
    }

    #[test]
    fn whoever_goes_away_frees_place_and_slot() {
        let turns = Turns::new(1, 2);
        let slot = turns.sit(Login, "a");
        let (gone, mut stays) = (waiting(&turns, Login, "a"), waiting(&turns, Login, "a"));
        assert!(turns.sit(Login, "a").is_err());
        drop(gone);
        let late = waiting(&turns, Login, "a");
        drop(slot);
        let turn = called(&mut stays).expect("nobody is before it any more");
        drop(turn);
        // Called, and gone before it was told: the slot goes on to nobody and is free.
        drop(late);
        assert!(matches!(turns.sit(Login, "b"), Ok(Seat::Called(_))));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_slot_is_lost_or_doubled_in_a_crowd_that_comes_and_goes() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let (turns, running) = (Turns::new(3, 1000), Arc::new(AtomicUsize::new(0)));
        let mut crowd = tokio::task::JoinSet::new();
        for n in 0..600_usize {
            let (turns, running) = (turns.clone(), Arc::clone(&running));
            crowd.spawn(async move {
                let seat = waiting(&turns, Login, &format!("net {}", n % 7)).turn();
                if n % 5 == 0 {
                    // Gives up at once, called or not.
                    return tokio::select! { biased; () = tokio::task::yield_now() => (), _turn = seat => () };
                }
                let turn = seat.await.unwrap_or_else(|_| panic!("{n} had a place"));
                assert!(running.fetch_add(1, Ordering::SeqCst) < 3);
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                drop(turn);
            });
        }
        while let Some(one) = crowd.join_next().await {
            one.unwrap();
        }
        let free: Vec<_> = (0..3).map(|_| turns.sit(Login, "x")).collect();
        assert!(free.iter().all(|seat| matches!(seat, Ok(Seat::Called(_)))), "all three slots are free");
    }
}
