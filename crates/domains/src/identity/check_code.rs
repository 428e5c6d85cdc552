//! Checking a code: counted before it is compared, used up in the transaction that activates the account.
//!
//! Tries from the network that asked for the code and tries from elsewhere are counted apart, so that a stranger cannot
//! burn the owner's. The account opens with the password with which the code was asked for; from elsewhere only while nobody
//! else asks with another one, so that nobody opens it for a stranger by entering the code that he had mailed. With uniform errors nobody learns from an answer, or from its time, which addresses have an
//! account or a code: whoever did not know the code hears that it is wrong.

use backshift_store::Executor;
use secrecy::SecretString;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    IdentityService,
    accounts::{Account, address, lock_user},
    challenges::{Issued, Latest, latest},
    code::is_well_formed,
    counts::{What, look, take, take_or_refuse},
    refusals::{
        OTP_EXPIRED, Refusal, TOO_MANY_ATTEMPTS, USER_NOT_FOUND, USER_VERIFIED, WRONG_BODY, WRONG_OTP,
        internal,
    },
    trial::begin_trial,
};
use crate::identity::{IdentityError, Origin};

/// Why a code opened nothing.
struct No {
    says: Refusal,
    /// Whether the code was the right one all the same: used up, or too late.
    knew: bool,
}

const fn no(says: Refusal) -> No {
    No { says, knew: false }
}

impl IdentityService {
    /// Checks the code, activates the account and starts the free trial, in one transaction. Bounded for a network.
    pub async fn verify_otp(
        &self,
        email: &str,
        otp: SecretString,
        origin: Origin,
    ) -> Result<(), IdentityError> {
        let begun = Instant::now();
        let address = address(email)?;
        if !is_well_formed(&otp) {
            return Err(WRONG_BODY.into());
        }
        let network = self.counted_network(&origin);
        if let Some(network) = &network {
            take_or_refuse(&self.db, What::Checks, network, self.config.max_checks_ip, self.now()).await?;
        }
        match self.try_code(&address.key, &otp, network.as_deref()).await? {
            Ok(()) => Ok(()),
            Err(No { says, knew }) if knew || !self.config.uniform_errors => Err(says.into()),
            Err(_) => {
                self.floor(begun).await;
                Err(WRONG_OTP.into())
            }
        }
    }

    async fn try_code(
        &self,
        email_key: &str,
        otp: &SecretString,
        network: Option<&str>,
    ) -> Result<Result<(), No>, IdentityError> {
        let Some(account) = self.account_by_key(email_key).await? else { return Ok(Err(no(USER_NOT_FOUND))) };
        let latest = latest(&self.db, account.user.id).await.map_err(internal)?;
        let is_of = |issued: &Issued| self.config.code_key.matches(&issued.challenge(), otp);
        // A code that is used up opened the account, also when the account was read before that.
        let was_used =
            account.user.is_active || account.confirmed || latest.all().iter().any(|issued| issued.used);
        if was_used {
            return Ok(Err(No { says: USER_VERIFIED, knew: latest.all().iter().any(is_of) }));
        }
        let Some(issued) = latest.meant_by(network, self.now()) else { return Ok(Err(no(WRONG_OTP))) };
        let right = is_of(issued) && self.opens(issued, &latest, &account, network);
        let abroad = abroad(issued, network);
        if !self.is_unconfirmed(&account).await? {
            // Confirmed a moment ago, or deactivated.
            return self.say_why(&account, otp, network).await.map(Err);
        }
        if let Err(refusal) = self.refuse_dead(issued, abroad, right).await? {
            return Ok(Err(refusal));
        }
        if !self.count_try(issued, abroad).await? {
            return self.say_why(&account, otp, network).await.map(Err);
        }
        if !right {
            return Ok(Err(no(WRONG_OTP)));
        }
        match self.activate(issued).await? {
            true => Ok(Ok(())),
            false => self.say_why(&account, otp, network).await.map(Err),
        }
    }

    /// Whether a code opens the account from here.
    fn opens(&self, issued: &Issued, latest: &Latest, account: &Account, network: Option<&str>) -> bool {
        let asked_here = issued.network.as_deref() == network;
        asked_here
            || (issued.password_hash == account.password_hash && !latest.has_rivals(issued, self.now()))
    }

    async fn refuse_dead(
        &self,
        issued: &Issued,
        abroad: Option<&str>,
        right: bool,
    ) -> Result<Result<(), No>, IdentityError> {
        let dead = match abroad {
            None => issued.tries >= self.config.max_tries,
            Some(_) if issued.tries_abroad >= self.config.max_tries_abroad => true,
            Some(network) => {
                let tried = look(&self.db, What::Code, &code_from(issued.id, network), self.now()).await?;
                tried.n >= i64::from(self.config.max_tries)
            }
        };
        if dead {
            return Ok(Err(no(TOO_MANY_ATTEMPTS)));
        }
        if issued.expires_at <= self.now() {
            return Ok(Err(No { says: OTP_EXPIRED, knew: right }));
        }
        Ok(Ok(()))
    }

    /// Takes one of the code's tries; `false` = there was none left, or the code ended meanwhile.
    async fn count_try(&self, issued: &Issued, abroad: Option<&str>) -> Result<bool, IdentityError> {
        const OWN: &str = "UPDATE otp_challenges SET tries = tries + 1 \
            WHERE id = $1 AND tries < $2 AND used_at IS NULL AND expires_at > $3";
        const ABROAD: &str = "UPDATE otp_challenges SET tries_abroad = tries_abroad + 1 \
            WHERE id = $1 AND tries_abroad < $2 AND used_at IS NULL AND expires_at > $3";
        let (text, most) = match abroad {
            None => (OWN, self.config.max_tries),
            Some(network) => {
                let who = code_from(issued.id, network);
                if take(&self.db, What::Code, &who, self.config.max_tries, self.now()).await?.is_none() {
                    return Ok(false);
                }
                (ABROAD, self.config.max_tries_abroad)
            }
        };
        let taken = self.db.sql(text).bind(issued.id).bind(most).bind(self.now());
        Ok(taken.run().await.map_err(internal)? == 1)
    }

    /// Why no try was left: looked up again, because it was fine a moment ago. Whoever has the code hears the same as who
    /// comes a moment later.
    async fn say_why(
        &self,
        account: &Account,
        otp: &SecretString,
        network: Option<&str>,
    ) -> Result<No, IdentityError> {
        let latest = latest(&self.db, account.user.id).await.map_err(internal)?;
        let is_of = |issued: &Issued| self.config.code_key.matches(&issued.challenge(), otp);
        if latest.all().iter().any(|issued| issued.used) {
            return Ok(No { says: USER_VERIFIED, knew: latest.all().iter().any(is_of) });
        }
        let Some(issued) = latest.meant_by(network, self.now()) else { return Ok(no(WRONG_OTP)) };
        let right = is_of(issued) && self.opens(issued, &latest, account, network);
        let dead = self.refuse_dead(issued, abroad(issued, network), right).await?;
        Ok(dead.err().unwrap_or(no(WRONG_OTP)))
    }

    /// Uses the code up, activates the account and begins the trial: all or nothing, once. `false` = another try was
    /// faster, or the address was registered anew and the code ended with it.
    async fn activate(&self, issued: &Issued) -> Result<bool, IdentityError> {
        let now = self.now();
        let tx = self.db.begin().await.map_err(internal)?;
        lock_user(&tx, issued.user_id).await?;
        let used = "UPDATE otp_challenges SET used_at = $2 WHERE id = $1 AND used_at IS NULL";
        let used = Executor::sql(&tx, used).bind(issued.id).bind(now).run().await.map_err(internal)?;
        if used == 0 {
            tx.rollback().await.map_err(internal)?;
            return Ok(false);
        }
        // System C's own columns for a code are emptied: what it mailed in clear must not open anything later.
        const ACTIVATE: &str = "UPDATE users SET is_active = $2, confirmed_at = $3, otp = NULL, otp_expired_at = NULL, \
            password_hash = COALESCE($4, password_hash), updated_at = $3 WHERE id = $1 AND deleted_at IS NULL";
        let activate = Executor::sql(&tx, ACTIVATE).bind(issued.user_id).bind(true).bind(now);
        activate.bind(issued.password_hash.as_deref()).run().await.map_err(internal)?;
        let forget = "UPDATE otp_challenges SET password_hash = NULL WHERE user_id = $1";
        Executor::sql(&tx, forget).bind(issued.user_id).run().await.map_err(internal)?;
        begin_trial(&tx, issued.user_id, now, self.config.trial).await?;
        tx.commit().await.map_err(internal)?;
        Ok(true)
    }
}

/// The network that tries, when it is not the one that asked.
fn abroad<'a>(issued: &Issued, network: Option<&'a str>) -> Option<&'a str> {
    network.filter(|network| issued.network.as_deref().is_some_and(|asked| asked != *network))
}

/// Under which name the tries of a network that did not ask for a code are counted.
fn code_from(challenge: Uuid, network: &str) -> String {
    format!("{challenge} {network}")
}
