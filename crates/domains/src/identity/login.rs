//! Checking credentials and opening sessions.
//!
//! Nobody's password is checked too, and a refusal waits for a fixed time: neither whether an account exists nor
//! how its password is hashed shows in the time of an answer.

use secrecy::SecretString;
use tokio::time::Instant;

use super::{
    IdentityService,
    accounts::{Account, address, password_given},
    guesses::Guess,
    passwords::Checked,
    refusals::{USER_NOT_FOUND, USER_NOT_VERIFIED, WRONG_PASSWORD, internal},
    turns::Errand,
};
use crate::identity::{IdentityError, Origin, Session};

impl IdentityService {
    /// Opens a session; `remember` makes it longer. Guessing is bounded, for an account and for a client.
    pub async fn login(
        &self,
        email: &str,
        password: SecretString,
        remember: bool,
        origin: Origin,
    ) -> Result<Session, IdentityError> {
        let account = self.checked_account(email, &password, &origin, Errand::Login).await?;
        if !account.user.is_active {
            return Err(USER_NOT_VERIFIED.into());
        }
        let lasts = if remember { self.config.session_remembered } else { self.config.session };
        self.tokens.issue(account.user, self.now(), account.not_before, lasts)
    }

    /// The account whose address and password these are.
    pub(super) async fn checked_account(
        &self,
        email: &str,
        password: &SecretString,
        origin: &Origin,
        errand: Errand,
    ) -> Result<Account, IdentityError> {
        let begun = Instant::now();
        let address = address(email)?;
        password_given(password)?;
        let guess = Guess::of(self, &address.key, origin);
        let pass = self.guesses.admit(&guess).await?;
        // Until its turn comes an attempt leaves nothing behind in the database: neither who is sent away nor who goes away.
        let network = self.counted_network(origin);
        let seat = self.passwords.seat(errand, network.as_deref().unwrap_or_default())?;
        let account = self.account_by_key(&address.key).await?;
        let stored = account.as_ref().and_then(|account| account.password_hash.clone());
        let slot = (self.passwords.clone(), self.passwords.turn(seat).await?);
        let attempt = self.guesses.clone().attempt((guess, pass), slot, password.clone(), stored);
        match (account, attempt.await?) {
            (Some(account), Checked::Right) => self.known(account).await,
            (Some(account), Checked::RightButOld(hash)) => {
                self.renew_hash(&account, &hash).await?;
                self.known(account).await
            }
            (found, _) => {
                self.floor(begun).await;
                let known = found.is_some() || self.config.uniform_errors;
                Err(if known { WRONG_PASSWORD } else { USER_NOT_FOUND }.into())
            }
        }
    }

    async fn known(&self, account: Account) -> Result<Account, IdentityError> {
        self.note_confirmed(&account).await?;
        Ok(account)
    }

    /// Replaces a hash that was right but old; another sign-in may do the same at once, the first one wins.
    async fn renew_hash(&self, account: &Account, hash: &str) -> Result<(), IdentityError> {
        const RENEW: &str =
            "UPDATE users SET password_hash = $3, updated_at = $4 WHERE id = $1 AND password_hash = $2";
        let renew = self.db.sql(RENEW).bind(account.user.id).bind(account.password_hash.as_deref());
        renew.bind(hash).bind(self.now()).run().await.map_err(internal)?;
        Ok(())
    }
}
