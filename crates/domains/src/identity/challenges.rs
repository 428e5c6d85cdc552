//! One-time codes: their rows, and issuing one. How one is checked: `check_code`.
//!
//! A challenge remembers the network that asked for it, because tries from there are its owner's and tries from elsewhere
//! may be anybody's; and with which password, because two people may register one address at a time. Of each network the
//! newest counts: what a stranger asks for ends nobody else's.

use backshift_core::{Bytes, StoreError, Timestamp};
use backshift_store::{Executor, Tx};
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    CodeOrder, IdentityService,
    accounts::{Account, address, lock_user},
    code::{Challenge, VERIFY},
    refusals::{USER_VERIFIED, internal},
    service::after,
    turns::Errand,
};
use crate::identity::{IdentityError, Origin};

/// A challenge's row.
pub(super) struct Issued {
    pub(super) id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) nonce: Bytes,
    pub(super) expires_at: Timestamp,
    pub(super) tries: u32,
    /// Tries from networks that did not ask for it.
    pub(super) tries_abroad: u32,
    pub(super) used: bool,
    /// The network that asked for it, if that was counted.
    pub(super) network: Option<String>,
    /// The hash of the password with which it was asked for.
    pub(super) password_hash: Option<String>,
}

pub(super) type IssuedRow =
    (Uuid, Uuid, Bytes, Timestamp, u32, u32, Option<Timestamp>, Option<String>, Option<String>);

pub(super) const ISSUED: &str = "SELECT id, user_id, nonce, expires_at, tries, tries_abroad, used_at, network, \
    password_hash FROM otp_challenges";

/// More than an address gets in the life of a code, by far.
const LATEST: u32 = 20;

impl From<IssuedRow> for Issued {
    fn from(row: IssuedRow) -> Self {
        let (id, user_id, nonce, expires_at, tries, tries_abroad, used_at, network, password_hash) = row;
        let used = used_at.is_some();
        Self { id, user_id, nonce, expires_at, tries, tries_abroad, used, network, password_hash }
    }
}

impl Issued {
    fn lives(&self, now: Timestamp) -> bool {
        !self.used && self.expires_at > now
    }

    pub(super) fn challenge(&self) -> Challenge<'_> {
        Challenge { id: self.id, user_id: self.user_id, purpose: VERIFY, nonce: &self.nonce }
    }
}

/// The latest challenges of a user, the newest first.
pub(super) struct Latest(Vec<Issued>);

pub(super) async fn latest(on: &impl Executor, user: Uuid) -> Result<Latest, StoreError> {
    let query =
        on.sql(ISSUED).push(" WHERE user_id = ").push_bind(user).push(" AND purpose = ").push_bind(VERIFY);
    let query = query.push(" ORDER BY issued_at DESC, id DESC LIMIT ").push_bind(LATEST);
    Ok(Latest(query.all::<IssuedRow>().await?.into_iter().map(Issued::from).collect()))
}

impl Latest {
    pub(super) fn all(&self) -> &[Issued] {
        &self.0
    }

    /// The newest that this network asked for.
    pub(super) fn asked_from(&self, network: Option<&str>) -> Option<&Issued> {
        self.0.iter().find(|issued| issued.network.as_deref() == network)
    }

    /// The one that a code from this network is compared with: its own while that lives, else the newest of all.
    pub(super) fn meant_by(&self, network: Option<&str>, now: Timestamp) -> Option<&Issued> {
        self.asked_from(network).filter(|own| own.lives(now)).or(self.0.first())
    }

    /// Whether others who ask for a code at this time have another password.
    pub(super) fn has_rivals(&self, issued: &Issued, now: Timestamp) -> bool {
        self.0.iter().any(|other| other.lives(now) && other.password_hash != issued.password_hash)
    }
}

impl IdentityService {
    /// Checks the password and mails a code.
    pub async fn send_otp(
        &self,
        email: &str,
        password: SecretString,
        origin: Origin,
    ) -> Result<(), IdentityError> {
        let account = self.checked_account(email, &password, &origin, Errand::Other).await?;
        if account.user.is_active {
            return Err(USER_VERIFIED.into());
        }
        // Deactivated by somebody: its owner does not activate it again.
        if !self.is_unconfirmed(&account).await? {
            return Err(IdentityError::Forbidden);
        }
        let (key, now) = (address(email)?.key, self.now());
        let client = self.counted_client(&origin).map(super::limits::client_key);
        let mut tx = self.db.begin().await.map_err(internal)?;
        lock_user(&tx, account.user.id).await?;
        self.count_send(&tx, &key, client.as_deref(), now).await?;
        let network = self.counted_network(&origin);
        let challenge = self.add_challenge(&tx, &account, &key, network.as_deref(), now).await?;
        let order = CodeOrder {
            challenge,
            user_id: account.user.id,
            locale: origin.locale,
            traceparent: origin.traceparent,
        };
        self.mail.enqueue(&mut tx, &order, now).await.map_err(internal)?;
        tx.commit().await.map_err(internal)?;
        self.mail.committed();
        Ok(())
    }

    async fn add_challenge(
        &self,
        tx: &Tx,
        account: &Account,
        email_key: &str,
        network: Option<&str>,
        now: Timestamp,
    ) -> Result<Uuid, IdentityError> {
        const INSERT: &str = "INSERT INTO otp_challenges \
            (id, user_id, email_key, purpose, nonce, issued_at, expires_at, network, password_hash) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let (id, nonce) = (Uuid::now_v7(), rand::random::<[u8; 16]>());
        let insert = Executor::sql(tx, INSERT).bind(id).bind(account.user.id).bind(email_key).bind(VERIFY);
        let insert = insert.bind(Bytes::copy_from_slice(&nonce)).bind(now);
        let insert = insert.bind(after(now, self.config.otp_ttl)).bind(network);
        let insert = insert.bind(account.password_hash.as_deref());
        insert.run().await.map_err(internal)?;
        Ok(id)
    }
}
