//! Registering: a row for an address that has none, or a new beginning for one that was never confirmed.
//!
//! Whoever typed somebody else's address first must not keep it, and whoever types it later must not take it: the newest
//! password stands in the row, but a code opens the account with the password with which it was asked for. An account that
//! was confirmed once stays, also when it was deactivated since.

use backshift_store::{Executor, Tx};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{
    IdentityService,
    accounts::{Account, Address, address, lock_user, password_given},
    counts::{What, take_or_refuse},
    passwords,
    refusals::{USERNAME_EXISTED, WRONG_BODY, internal, is_taken},
    roles::role_hash,
    turns::Errand,
};
use crate::identity::{IdentityError, Origin, Role};

impl IdentityService {
    /// Makes an inactive account, or begins one anew that was never confirmed. Bounded for a network of clients.
    pub async fn register(
        &self,
        email: &str,
        password: SecretString,
        origin: Origin,
    ) -> Result<(), IdentityError> {
        let address = address(email)?;
        password_given(&password)?;
        if password.expose_secret().chars().count() < *passwords::LENGTH.start() {
            return Err(WRONG_BODY.into());
        }
        let network = self.counted_network(&origin);
        if let Some(network) = &network {
            let share = self.config.max_registrations_ip;
            take_or_refuse(&self.db, What::Registrations, network, share, self.now()).await?;
        }
        let before = self.account_by_key(&address.key).await?;
        if let Some(account) = &before
            && !self.is_unconfirmed(account).await?
        {
            return Err(USERNAME_EXISTED.into());
        }
        let seat = self.passwords.seat(Errand::Other, network.as_deref().unwrap_or_default())?;
        let hash = self.passwords.hash(seat, &password).await?;
        match before {
            None => self.add_account(&address, &hash).await,
            Some(account) => self.begin_anew(&account, &address, &hash, network.as_deref()).await,
        }
    }

    async fn add_account(&self, address: &Address, hash: &str) -> Result<(), IdentityError> {
        const INSERT: &str = "INSERT INTO users \
            (id, username, password_hash, is_active, role, role_hash, created_at, updated_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT DO NOTHING";
        let insert = self.db.sql(INSERT).bind(Uuid::now_v7()).bind(&address.given).bind(hash).bind(false);
        let insert = insert.bind(Role::User.as_str()).bind(role_hash(Role::User)).bind(self.now());
        match insert.run().await.map_err(internal)? {
            0 => Err(USERNAME_EXISTED.into()),
            _ => Ok(()),
        }
    }

    /// Of several who begin anew at once, and of one that is confirmed meanwhile, one wins; the others existed.
    async fn begin_anew(
        &self,
        account: &Account,
        address: &Address,
        hash: &str,
        network: Option<&str>,
    ) -> Result<(), IdentityError> {
        let id = account.user.id;
        let tx = self.db.begin().await.map_err(internal)?;
        lock_user(&tx, id).await?;
        const ANEW: &str = "UPDATE users SET username = $2, password_hash = $3, otp = NULL, otp_expired_at = NULL, \
            updated_at = $4 WHERE id = $1 AND deleted_at IS NULL AND COALESCE(is_active, $5) = $5 AND confirmed_at IS NULL \
            AND COALESCE(password_hash, '') = $6";
        let anew = Executor::sql(&tx, ANEW).bind(id).bind(&address.given).bind(hash).bind(self.now());
        let anew = anew.bind(false).bind(account.password_hash.as_deref().unwrap_or_default());
        match anew.run().await {
            Ok(0) => return Err(USERNAME_EXISTED.into()),
            Ok(_) => {}
            // The spelling is that of a row which was deleted.
            Err(error) if is_taken(&error) => return Err(USERNAME_EXISTED.into()),
            Err(error) => return Err(internal(error)),
        }
        end_challenges(&tx, id, network).await?;
        tx.commit().await.map_err(internal)
    }

    /// Whether nobody ever confirmed this account. A row of system C does not say it; one with a subscription was
    /// confirmed, because that is when its trial begins, and so was one that was used while we were there. One without any
    /// sign counts as never confirmed, as it did in system C: the person who registered there goes on here.
    pub(super) async fn is_unconfirmed(&self, account: &Account) -> Result<bool, IdentityError> {
        if account.user.is_active || account.confirmed {
            return Ok(false);
        }
        const HELD: &str = "SELECT id FROM subscriptions WHERE user_id = $1 LIMIT 1";
        let held = self.db.sql(HELD).bind(account.user.id).optional::<Uuid>().await.map_err(internal)?;
        Ok(held.is_none())
    }
}

/// Codes that the same network asked for before are worth nothing, and those that still wait in a queue are not mailed. Those
/// of others stay: else anybody could end them by registering.
async fn end_challenges(tx: &Tx, user: Uuid, network: Option<&str>) -> Result<(), IdentityError> {
    let end = "DELETE FROM otp_challenges WHERE user_id = $1 AND COALESCE(network, '') = $2";
    let end = Executor::sql(tx, end).bind(user).bind(network.unwrap_or_default());
    end.run().await.map(drop).map_err(internal)
}
