//! How often a password may be guessed: so often for an account from one network, far more often for the account.
//!
//! So a stranger who guesses shuts himself out and not the owner: a right password from a network without a failure
//! passes whatever others did. An attempt is written down as a failure *while* the password is compared, is told to nobody
//! before, and is taken back when it was right: guesses in parallel cannot pass together, and one that only waited for its
//! turn is none. Addresses without an account are counted alike: a limit tells nobody whether one exists. The whole design:
//! docs/decisions/0026.

use std::sync::Arc;

use backshift_core::{Clock, Timestamp};
use backshift_store::{Database, Durability};
use secrecy::SecretString;

use super::{
    IdentityConfig, IdentityService,
    counts::{Count, What, give_back, look, take},
    gate::{Gate, Pass},
    passwords::{Checked, Passwords, busy},
    refusals::internal,
    turns::Turn,
};
use crate::identity::{IdentityError, Origin};

/// Whose password is guessed from where.
#[derive(Debug, Clone)]
pub(super) struct Guess {
    account: String,
    /// `None` = the client is not counted.
    network: Option<String>,
    pair: Option<String>,
}

impl Guess {
    /// A client without an address is of the network of all such clients here: else it could guess for ever.
    pub(super) fn of(service: &IdentityService, email_key: &str, origin: &Origin) -> Self {
        let network = service.counted_network(origin);
        let counted = !service.is_exempt(origin);
        let pair = counted.then(|| format!("{} {email_key}", network.as_deref().unwrap_or("nowhere")));
        Self { account: email_key.to_owned(), network, pair }
    }
}

/// The shares, and what is counted of them. Cloning shares the gate.
#[derive(Clone)]
pub(super) struct Guesses {
    db: Database,
    pub(super) clock: Arc<dyn Clock>,
    gate: Gate,
    of_pair: u32,
    of_account: u32,
    of_network: u32,
}

impl Guesses {
    pub(super) fn new(db: Database, clock: Arc<dyn Clock>, config: &IdentityConfig) -> Self {
        let waiting = config.hash_slots.max(1).saturating_mul(config.hash_queue);
        let gate = Gate::new(config.max_failures_pair, waiting);
        let (of_pair, of_account) = (config.max_failures_pair, config.max_failures);
        Self { db, clock, gate, of_pair, of_account, of_network: config.max_failures_ip }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Leave to guess: few enough others guess the same from there at this moment, and it is not refused. What is refused
    /// waits too: those before it stand as failures until they are known to be right.
    pub(super) async fn admit(&self, guess: &Guess) -> Result<Option<Pass>, IdentityError> {
        let pass = match &guess.pair {
            Some(pair) => Some(self.gate.enter(pair).await.map_err(busy)?),
            None => None,
        };
        self.hear(guess).await?;
        Ok(pass)
    }

    /// One attempt, from its turn on. It runs to its end whatever the client does: who goes away once the password is being
    /// compared has guessed, and whose password was right has failed nothing. No more are compared at a time than there are slots.
    pub(super) async fn attempt(
        self,
        (guess, pass): (Guess, Option<Pass>),
        (passwords, turn): (Passwords, Turn),
        password: SecretString,
        stored: Option<String>,
    ) -> Result<Checked, IdentityError> {
        let attempt = async move {
            let _pass = pass;
            // Both at once, so that no slot waits for the database.
            let compared = passwords.check(turn, &password, stored.as_deref());
            let (counted, checked) = tokio::join!(self.count(&guess), compared);
            counted?;
            match &checked {
                Ok(Checked::Wrong) => {}
                // What this network had failed for the account is forgotten, this attempt among it. What others failed stays.
                Ok(Checked::Right | Checked::RightButOld(_)) => self.take_back(&guess, i64::MAX).await?,
                // It was not looked at after all.
                Err(_) => self.take_back(&guess, 1).await?,
            }
            checked
        };
        let ended = |error| IdentityError::Internal(format!("an attempt did not run: {error}"));
        tokio::spawn(attempt).await.map_err(ended)?
    }

    /// Refuses a guess whose account or network has had its share. Writes nothing.
    async fn hear(&self, guess: &Guess) -> Result<(), IdentityError> {
        let now = self.now();
        let pair = match &guess.pair {
            Some(pair) => look(&self.db, What::Pair, pair, now).await?,
            None => Count { n: 0, begun: now },
        };
        if pair.n >= i64::from(self.of_pair) {
            pair.refuse(now)?;
        }
        if let Some(network) = &guess.network {
            let count = look(&self.db, What::Network, network, now).await?;
            if count.n >= i64::from(self.of_network) {
                count.refuse(now)?;
            }
        }
        if guess.pair.is_none() || pair.n > 0 {
            let account = look(&self.db, What::Account, &guess.account, now).await?;
            if account.n >= i64::from(self.of_account) {
                account.refuse(now)?;
            }
        }
        Ok(())
    }

    /// Writes an attempt down as a failure, or refuses it. One row after the other, always in this order: two guesses
    /// never wait for each other in a circle.
    async fn count(&self, guess: &Guess) -> Result<(), IdentityError> {
        let now = self.now();
        // A crash may forget the last guesses.
        let tx = self.db.begin_with(Durability::Relaxed).await.map_err(internal)?;
        let account = take(&tx, What::Account, &guess.account, u32::MAX, now).await?;
        if let Some(network) = &guess.network {
            let share = self.of_network;
            if take(&tx, What::Network, network, share, now).await?.is_none() {
                return look(&tx, What::Network, network, now).await?.refuse(now);
            }
        }
        let first = match &guess.pair {
            None => false,
            Some(pair) => match take(&tx, What::Pair, pair, self.of_pair, now).await? {
                Some(count) => count.n == 1,
                None => return look(&tx, What::Pair, pair, now).await?.refuse(now),
            },
        };
        // Beyond the account's own share only those are heard who have not failed yet.
        let over = account.filter(|account| account.n > i64::from(self.of_account));
        if let (Some(account), false) = (over, first) {
            return account.refuse(now);
        }
        tx.commit().await.map_err(internal)
    }

    /// Takes so many attempts back, and never more than this pair has added: right passwords at the same time, each with the
    /// count of all, would wash away what the network failed elsewhere. Of an hour that began after the pair's only this attempt:
    /// the others count in the hour before.
    async fn take_back(&self, guess: &Guess, attempts: i64) -> Result<(), IdentityError> {
        let tx = self.db.begin_with(Durability::Relaxed).await.map_err(internal)?;
        // Holds the account's row: those of one pair come here one after the other.
        give_back(&tx, What::Account, &guess.account, 0).await?;
        let now = self.now();
        let added = match &guess.pair {
            Some(pair) => look(&tx, What::Pair, pair, now).await?,
            None => Count { n: 1, begun: now },
        };
        let attempts = attempts.min(added.n);
        let of = |count: Count| if count.begun > added.begun { attempts.min(1) } else { attempts };
        let account = look(&tx, What::Account, &guess.account, now).await?;
        give_back(&tx, What::Account, &guess.account, of(account)).await?;
        if let Some(network) = &guess.network {
            let count = look(&tx, What::Network, network, now).await?;
            give_back(&tx, What::Network, network, of(count)).await?;
        }
        if let Some(pair) = &guess.pair {
            give_back(&tx, What::Pair, pair, attempts).await?;
        }
        tx.commit().await.map_err(internal)
    }
}

#[cfg(test)]
mod tests;
