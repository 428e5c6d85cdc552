//! Passwords: Argon2id for new rows, bcrypt of system C accepted, a dummy for nobody.
//!
//! A check takes a core and 19 MiB. So only as many run at once as there are cores, each in memory that is kept for the
//! next one; the others wait their turn, and when too many wait the next one is sent away.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use argon2::Block;
use secrecy::{ExposeSecret, SecretString};

use super::{
    stored::{self, COST, Stored, Unusable},
    turns::{Errand, Full, Seat, Turn, Turns},
};
use crate::identity::IdentityError;

/// The fewest and most characters of a password (docs/contracts/system-c.md, "HTTP").
pub(super) const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;
/// When somebody who was sent away may come back: a full room is empty again after about this time.
const COME_BACK: Duration = Duration::from_secs(2);

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Checked {
    /// Not the password.
    Wrong,
    /// The password.
    Right,
    /// The password, but its hash is not what is made today: this one is.
    RightButOld(String),
}

/// Hashes and checks passwords.
#[derive(Clone)]
pub(super) struct Passwords {
    turns: Turns,
    /// The memory of slots that rest; as many as ever ran at once.
    rested: Arc<Mutex<Vec<Vec<Block>>>>,
    /// The hash that a password of nobody is compared with, so that it takes the same time.
    dummy: Arc<str>,
}

impl Passwords {
    /// So many at once, and so many that may wait for each of these.
    pub(super) fn new(slots: usize, queue: usize) -> Result<Self, String> {
        let slots = slots.max(1);
        let turns = Turns::new(slots, slots.saturating_mul(queue.max(1)));
        Ok(Self { turns, rested: Arc::default(), dummy: stored::nobody_s()?.into() })
    }

    /// A place to wait; [`IdentityError::Busy`] when there is none. Taken before anything is written down.
    pub(super) fn seat(&self, errand: Errand, network: &str) -> Result<Seat, IdentityError> {
        self.turns.sit(errand, network).map_err(busy)
    }

    /// Waits for the turn of a seat; [`IdentityError::Busy`] when it was given to somebody else meanwhile.
    pub(super) async fn turn(&self, seat: Seat) -> Result<Turn, IdentityError> {
        seat.turn().await.map_err(busy)
    }

    /// The Argon2id hash as a PHC string.
    pub(super) async fn hash(&self, seat: Seat, password: &SecretString) -> Result<String, IdentityError> {
        let turn = self.turn(seat).await?;
        let password = password.clone();
        let work = move |memory: &mut Vec<Block>| stored::hashed(password.expose_secret().as_bytes(), memory);
        self.run(turn, work).await?.map_err(IdentityError::Internal)
    }

    /// Checks a password against a stored hash; against nobody's when there is none.
    pub(super) async fn check(
        &self,
        turn: Turn,
        password: &SecretString,
        stored: Option<&str>,
    ) -> Result<Checked, IdentityError> {
        let (password, dummy) = (password.clone(), Arc::clone(&self.dummy));
        let stored: Option<Box<str>> = stored.map(Into::into);
        let work = move |memory: &mut Vec<Block>| {
            checked(password.expose_secret().as_bytes(), stored.as_deref(), &dummy, memory)
        };
        self.run(turn, work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce(&mut Vec<Block>) -> T + Send + 'static,
    ) -> Result<T, IdentityError> {
        // The turn goes into the thread: a request that is given up must not let another hash begin beside it.
        let rested = Arc::clone(&self.rested);
        let task = tokio::task::spawn_blocking(move || {
            let mut memory = rested.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
            let result = work(&mut memory);
            // What a foreign hash needed beyond ours goes back to the system.
            memory.truncate(COST.0 as usize);
            memory.shrink_to_fit();
            rested.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
            drop(turn);
            result
        });
        task.await.map_err(|error| IdentityError::Internal(format!("a password check did not run: {error}")))
    }
}

/// No place: when to come back.
pub(super) fn busy(_: Full) -> IdentityError {
    IdentityError::Busy { retry_after: COME_BACK }
}

fn checked(password: &[u8], stored: Option<&str>, dummy: &str, memory: &mut Vec<Block>) -> Checked {
    let usable = stored.and_then(|text| match Stored::read(text) {
        Ok(stored) => Some((stored, text)),
        Err(Unusable::Garbage) => None,
        Err(Unusable::TooDear(what)) => {
            tracing::warn!(
                hash = what,
                "a stored password hash asks for more work than is done here; refused"
            );
            None
        }
    });
    match usable {
        Some((stored, text)) if stored.matches(text, password, memory) => match stored.is_current() {
            true => Checked::Right,
            false => stored::hashed(password, memory).map_or(Checked::Right, Checked::RightButOld),
        },
        Some(_) => Checked::Wrong,
        None => {
            // Nobody's, or nothing that can be compared: it takes the time of one that can.
            if let Ok(nobody) = Stored::read(dummy) {
                nobody.matches(dummy, password, memory);
            }
            Checked::Wrong
        }
    }
}

#[cfg(test)]
impl Passwords {
    /// Slots that are free, and how many wait for one.
    pub(super) fn free_and_waiting(&self) -> (usize, usize) {
        self.turns.free_and_waiting()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        text.into()
    }

    fn passwords() -> Passwords {
        Passwords::new(2, 32).unwrap()
    }

    async fn check(passwords: &Passwords, text: &str, stored: Option<&str>) -> Checked {
        let turn = passwords.turn(passwords.seat(Errand::Login, "a").unwrap()).await.unwrap();
        passwords.check(turn, &secret(text), stored).await.unwrap()
    }

    #[tokio::test]
    async fn new_hashes_are_argon2id_with_the_decided_cost() {
        let passwords = passwords();
        let seat = passwords.seat(Errand::Other, "a").unwrap();
        let hash = passwords.hash(seat, &secret("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hash.len() <= 255, "the column is varchar(255)");
        for (text, found) in [("correct horse", Checked::Right), ("correct horsf", Checked::Wrong)] {
            assert_eq!(check(&passwords, text, Some(&hash)).await, found);
        }
    }

    #[tokio::test]
    async fn bcrypt_is_right_but_old_and_never_truncated() {
        let passwords = passwords();
        let (long, longer) = ("x".repeat(72), "x".repeat(73));
        let hash = bcrypt::hash(&long, 4).unwrap().replace("$2b$", "$2a$");
        let Checked::RightButOld(renewed) = check(&passwords, &long, Some(&hash)).await else {
            panic!("old")
        };
        assert_eq!(check(&passwords, &long, Some(&renewed)).await, Checked::Right);
        assert_eq!(check(&passwords, &longer, Some(&hash)).await, Checked::Wrong);
        assert_eq!(check(&passwords, "wrong", Some(&hash)).await, Checked::Wrong);
    }

    #[tokio::test]
    async fn nobody_has_no_password_and_garbage_matches_nothing() {
        let passwords = passwords();
        assert_eq!(check(&passwords, "nobody's password", None).await, Checked::Wrong);
        let dear = bcrypt::hash("plain", 4).unwrap().replacen("$04$", "$31$", 1);
        for garbage in ["", "plain", "$2a$10$short", "$argon2id$v=19$broken", &dear] {
            assert_eq!(check(&passwords, "plain", Some(garbage)).await, Checked::Wrong);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn the_memory_of_a_slot_is_kept_and_is_one_block_a_slot() {
        let passwords = passwords();
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let passwords = passwords.clone();
            crowd.spawn(async move { check(&passwords, "wrong", None).await });
        }
        crowd.join_all().await;
        // One whose memory is larger than ours does not keep it.
        let params = argon2::Params::new(40 * 1024, 1, 1, None).unwrap();
        use argon2::password_hash::PasswordHasher;
        let large = argon2::Argon2::from(params).hash_password(b"horse").unwrap().to_string();
        assert!(matches!(check(&passwords, "horse", Some(&large)).await, Checked::RightButOld(_)));
        let rested = passwords.rested.lock().unwrap();
        assert!((1..=2).contains(&rested.len()), "{}", rested.len());
        assert!(rested.iter().all(|memory| memory.capacity() == COST.0 as usize));
    }

    #[tokio::test]
    async fn a_full_room_sends_away_with_a_time_to_come_back() {
        let passwords = Passwords::new(1, 4).unwrap();
        let seats: Vec<_> = (0..5).map(|_| passwords.seat(Errand::Login, "a").unwrap()).collect();
        let refused = passwords.seat(Errand::Login, "a").map(drop);
        assert!(matches!(refused, Err(IdentityError::Busy { retry_after }) if !retry_after.is_zero()));
        drop(seats);
        assert_eq!(check(&passwords, "wrong", None).await, Checked::Wrong);
    }
}
