//! How often a password may be guessed: so often for an account from one network, far more often for the account.
//!
//! So a stranger who guesses shuts himself out and not the owner: a right password from a network without a failure
//! passes whatever others did. An attempt is written down as a failure *before* the password is looked at and taken
//! back when it was right, so that guesses in parallel cannot pass together. Addresses without an account are counted
//! alike: a limit tells nobody whether one exists. The whole design: docs/decisions/0026.

use backshift_core::identity::{IdentityError, Origin};
use backshift_store::Durability;

use super::{
    IdentityService,
    counts::{Count, What, give_back, look, take},
    gate::Pass,
    passwords::busy,
    refusals::internal,
};

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

impl IdentityService {
    /// Leave to guess: not refused yet, and few enough others guess the same from there at this moment.
    pub(super) async fn let_guess(&self, guess: &Guess) -> Result<Option<Pass>, IdentityError> {
        self.hear_guess(guess).await?;
        let Some(pair) = &guess.pair else { return Ok(None) };
        let pass = self.gate.enter(pair).await.map_err(busy)?;
        // Those before may have locked it.
        self.hear_guess(guess).await?;
        Ok(Some(pass))
    }

    /// Refuses a guess whose account or network has had its share. Writes nothing.
    async fn hear_guess(&self, guess: &Guess) -> Result<(), IdentityError> {
        let now = self.now();
        let pair = match &guess.pair {
            Some(pair) => look(&self.db, What::Pair, pair, now).await?,
            None => Count { n: 0, begun: now },
        };
        if pair.n >= i64::from(self.config.max_failures_pair) {
            pair.refuse(now)?;
        }
        if let Some(network) = &guess.network {
            let count = look(&self.db, What::Network, network, now).await?;
            if count.n >= i64::from(self.config.max_failures_ip) {
                count.refuse(now)?;
            }
        }
        if guess.pair.is_none() || pair.n > 0 {
            let account = look(&self.db, What::Account, &guess.account, now).await?;
            if account.n >= i64::from(self.config.max_failures) {
                account.refuse(now)?;
            }
        }
        Ok(())
    }

    /// Writes an attempt down as a failure, or refuses it. One row after the other, always in this order: two guesses
    /// never wait for each other in a circle.
    pub(super) async fn count_guess(&self, guess: &Guess) -> Result<(), IdentityError> {
        let now = self.now();
        // A crash may forget the last guesses.
        let tx = self.db.begin_with(Durability::Relaxed).await.map_err(internal)?;
        let account = take(&tx, What::Account, &guess.account, u32::MAX, now).await?;
        if let Some(network) = &guess.network {
            let share = self.config.max_failures_ip;
            if take(&tx, What::Network, network, share, now).await?.is_none() {
                return look(&tx, What::Network, network, now).await?.refuse(now);
            }
        }
        let first = match &guess.pair {
            None => false,
            Some(pair) => match take(&tx, What::Pair, pair, self.config.max_failures_pair, now).await? {
                Some(count) => count.n == 1,
                None => return look(&tx, What::Pair, pair, now).await?.refuse(now),
            },
        };
        // Beyond the account's own share only those are heard who have not failed yet.
        let over = account.filter(|account| account.n > i64::from(self.config.max_failures));
        if let (Some(account), false) = (over, first) {
            return account.refuse(now);
        }
        tx.commit().await.map_err(internal)
    }

    /// The password was right: what this network had failed for the account is forgotten, this attempt among it.
    /// What others failed stays.
    pub(super) async fn forget_guesses(&self, guess: &Guess) -> Result<(), IdentityError> {
        self.take_back(guess, i64::MAX).await
    }

    /// The password was not looked at after all. Never more is taken than this pair has added: right passwords at the same
    /// time, each with the count of all, would wash away what the network failed elsewhere.
    pub(super) async fn take_back(&self, guess: &Guess, attempts: i64) -> Result<(), IdentityError> {
        let tx = self.db.begin_with(Durability::Relaxed).await.map_err(internal)?;
        // Holds the account's row: those of one pair come here one after the other.
        give_back(&tx, What::Account, &guess.account, 0).await?;
        let added = match &guess.pair {
            Some(pair) => look(&tx, What::Pair, pair, self.now()).await?.n,
            None => 1,
        };
        let attempts = attempts.min(added);
        give_back(&tx, What::Account, &guess.account, attempts).await?;
        if let Some(network) = &guess.network {
            give_back(&tx, What::Network, network, attempts).await?;
        }
        if let Some(pair) = &guess.pair {
            give_back(&tx, What::Pair, pair, attempts).await?;
        }
        tx.commit().await.map_err(internal)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use backshift_core::Timestamp;

    use super::*;

    #[test]
    fn a_full_hour_is_over_an_hour_after_it_began() {
        let now = Timestamp::UNIX_EPOCH;
        let count = Count { n: 10, begun: now };
        let wait = |seconds| count.refuse(now + Duration::from_secs(seconds));
        let left = |result| match result {
            Err(IdentityError::TooMany { retry_after }) => Some(retry_after.as_secs()),
            _ => None,
        };
        assert_eq!((left(wait(0)), left(wait(3599)), left(wait(3600))), (Some(3600), Some(1), None));
    }
}
