//! People between sign-up and code: keeps the password in memory so that the right code signs them in.
//!
//! Bounded in number and time; a restart forgets everybody, who then sign in by hand.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use secrecy::SecretString;

const SEATS: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(900);

/// Passwords of people who still have to enter their code, by address.
#[derive(Default)]
pub(super) struct WaitingRoom(Mutex<HashMap<String, (SecretString, Instant)>>);

impl WaitingRoom {
    /// Keeps a password until its owner comes back; when the room is full the newest is not kept.
    pub(super) fn enter(&self, email: &str, password: SecretString) {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seats.retain(|_, (_, since)| since.elapsed() < PATIENCE);
        if seats.len() < SEATS {
            seats.insert(email.to_lowercase(), (password, Instant::now()));
        }
    }

    /// The password, which stays.
    pub(super) fn look(&self, email: &str) -> Option<SecretString> {
        let seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (password, since) = seats.get(&email.to_lowercase())?;
        (since.elapsed() < PATIENCE).then(|| password.clone())
    }

    /// Hands the password out once.
    pub(super) fn leave(&self, email: &str) -> Option<SecretString> {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (password, since) = seats.remove(&email.to_lowercase())?;
        (since.elapsed() < PATIENCE).then_some(password)
    }
}
