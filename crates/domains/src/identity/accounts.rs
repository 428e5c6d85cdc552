//! Accounts: finding them. Addresses are compared in lower case and stored as given.
//!
//! A row of system C may lack nearly everything but its name: read every column as optional.

use backshift_core::Timestamp;
use backshift_mail::EmailAddress;
use backshift_store::{Executor, Sql, Tx};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{
    IdentityService, passwords,
    refusals::{WRONG_BODY, WRONG_EMAIL, internal},
    roles::role_of,
};
use crate::identity::{Caller, IdentityError, User};

/// A user's row, with what only this module's neighbours may see.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) user: User,
    pub(super) password_hash: Option<String>,
    /// Whether it was confirmed, or seen in use, once.
    pub(super) confirmed: bool,
    /// Tokens from before this time are worth nothing.
    pub(super) not_before: Option<Timestamp>,
}

type AccountRow = (
    Uuid,
    String,
    Option<String>,
    Option<String>,
    Option<bool>,
    Option<String>,
    Option<String>,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<Timestamp>,
);

const COLUMNS: &str = "SELECT id, username, full_name, password_hash, is_active, role_hash, role, created_at, \
     confirmed_at, not_before FROM users \
     WHERE deleted_at IS NULL";

impl From<AccountRow> for Account {
    fn from(row: AccountRow) -> Self {
        let (
            id,
            email,
            full_name,
            password_hash,
            is_active,
            role_hash,
            role,
            created_at,
            confirmed_at,
            not_before,
        ) = row;
        let user = User {
            id,
            email,
            full_name,
            is_active: is_active.unwrap_or(false),
            role: role_of(role_hash.as_deref(), role.as_deref()),
            created_at: created_at.unwrap_or(Timestamp::UNIX_EPOCH),
        };
        Self { user, password_hash, confirmed: confirmed_at.is_some(), not_before }
    }
}

/// An address in its two spellings.
pub(super) struct Address {
    /// What is stored: as given, the domain in ASCII.
    pub(super) given: String,
    /// What is compared.
    pub(super) key: String,
}

/// Checks an address.
pub(super) fn address(email: &str) -> Result<Address, IdentityError> {
    let parsed = EmailAddress::parse(email).map_err(|_| WRONG_EMAIL)?;
    let given = if email.is_ascii() { email.to_owned() } else { parsed.to_string() };
    Ok(Address { given, key: parsed.canonical() })
}

/// Refuses what no account can have as its password, before any work is spent on it.
pub(super) fn password_given(password: &SecretString) -> Result<(), IdentityError> {
    let length = password.expose_secret().chars().take(passwords::LENGTH.end() + 1).count();
    if length == 0 || length > *passwords::LENGTH.end() { Err(WRONG_BODY.into()) } else { Ok(()) }
}

impl IdentityService {
    /// The account of an id, unless it was deleted.
    pub(super) async fn account_by_id(&self, id: Uuid) -> Result<Option<Account>, IdentityError> {
        let row = self.db.sql(COLUMNS).push(" AND id = ").push_bind(id);
        let row = row.optional::<AccountRow>().await.map_err(internal)?;
        Ok(row.map(Account::from))
    }

    /// The caller's own account.
    pub async fn me(&self, caller: Caller) -> Result<User, IdentityError> {
        let account = self.account_by_id(caller.user_id).await?;
        account.map(|account| account.user).filter(|user| user.is_active).ok_or(IdentityError::Unauthorized)
    }

    /// Notes of an account of system C that it is in use. Its rows do not say who ever was confirmed: without this, one that
    /// is deactivated afterwards would look like one that never was, and its owner could open it again by a mail.
    pub(super) async fn note_confirmed(&self, account: &Account) -> Result<(), IdentityError> {
        if account.confirmed || !account.user.is_active {
            return Ok(());
        }
        const NOTE: &str = "UPDATE users SET confirmed_at = $2 \
            WHERE id = $1 AND confirmed_at IS NULL AND is_active = $3 AND deleted_at IS NULL";
        let note = self.db.sql(NOTE).bind(account.user.id).bind(self.now()).bind(true);
        note.run().await.map(drop).map_err(internal)
    }

    /// The account of a compared address; of several old rows that differ in case only, the oldest.
    pub(super) async fn account_by_key(&self, key: &str) -> Result<Option<Account>, IdentityError> {
        let row = self.db.sql(COLUMNS).push(" AND lower(username) = ").push_bind(key);
        let row = row.push(" ORDER BY created_at, id LIMIT 1").optional::<AccountRow>().await;
        Ok(row.map_err(internal)?.map(Account::from))
    }
}

/// Holds the user's row until the transaction ends, so that one user's changes happen one after the other. SQLite
/// has one writer anyway. `false` = there is no such user.
pub(super) async fn lock_user(tx: &Tx, id: Uuid) -> Result<bool, IdentityError> {
    const LOCK: Sql = Sql {
        pg: "SELECT id FROM users WHERE id = $1 AND deleted_at IS NULL FOR UPDATE",
        sqlite: "SELECT id FROM users WHERE id = $1 AND deleted_at IS NULL",
    };
    let found = Executor::sql(tx, LOCK).bind(id).optional::<Uuid>().await.map_err(internal)?;
    Ok(found.is_some())
}
