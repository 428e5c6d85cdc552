//! One-time codes: issuing and checking them.
//!
//! A try is counted in the database *before* the code is compared, so that parallel guesses cannot share one; the
//! code is used up by a compare-and-set in the transaction that activates the account.

use backshift_core::{
    StoreError, Timestamp,
    identity::{IdentityError, Origin},
};
use backshift_store::{Executor, Tx};
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    CodeOrder, IdentityService,
    accounts::{address, lock_user},
    code::{Challenge, VERIFY, is_well_formed},
    refusals::{
        OTP_EXPIRED, TOO_MANY_ATTEMPTS, USER_NOT_FOUND, USER_VERIFIED, WRONG_BODY, WRONG_OTP, internal,
    },
    service::after,
    trial::begin_trial,
};

/// A challenge's row.
pub(super) struct Issued {
    pub(super) id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) nonce: backshift_core::Bytes,
    pub(super) expires_at: Timestamp,
    pub(super) tries: i64,
    pub(super) used: bool,
}

pub(super) type IssuedRow = (Uuid, Uuid, backshift_core::Bytes, Timestamp, i64, Option<Timestamp>);

pub(super) const ISSUED: &str = "SELECT id, user_id, nonce, expires_at, tries, used_at FROM otp_challenges";

impl From<IssuedRow> for Issued {
    fn from((id, user_id, nonce, expires_at, tries, used_at): IssuedRow) -> Self {
        Self { id, user_id, nonce, expires_at, tries, used: used_at.is_some() }
    }
}

impl Issued {
    pub(super) fn challenge(&self) -> Challenge<'_> {
        Challenge { id: self.id, user_id: self.user_id, purpose: VERIFY, nonce: &self.nonce }
    }
}

/// The newest challenge of a user: it alone counts, a new code ends the ones before.
pub(super) async fn newest(on: &impl Executor, user: Uuid) -> Result<Option<Issued>, StoreError> {
    let query = on.sql(ISSUED).push(" WHERE user_id = ").push_bind(user);
    let query =
        query.push(" AND purpose = ").push_bind(VERIFY).push(" ORDER BY issued_at DESC, id DESC LIMIT 1");
    Ok(query.optional::<IssuedRow>().await?.map(Issued::from))
}

impl IdentityService {
    pub(super) async fn issue_code(
        &self,
        email: &str,
        password: &SecretString,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let account = self.checked_account(email, password, origin).await?;
        if account.user.is_active {
            return Err(USER_VERIFIED.into());
        }
        let (key, now) = (address(email)?.key, self.now());
        let client = self.counted_client(origin).map(super::limits::client_key);
        let mut tx = self.db.begin().await.map_err(internal)?;
        lock_user(&tx, account.user.id).await?;
        self.count_send(&tx, &key, client.as_deref(), now).await?;
        let challenge = self.add_challenge(&tx, account.user.id, &key, client.as_deref(), now).await?;
        let order = CodeOrder {
            challenge,
            user_id: account.user.id,
            locale: origin.locale.clone(),
            traceparent: origin.traceparent.clone(),
        };
        self.mail.enqueue(&mut tx, &order, now).await.map_err(internal)?;
        tx.commit().await.map_err(internal)?;
        self.mail.committed();
        Ok(())
    }

    async fn add_challenge(
        &self,
        tx: &Tx,
        user: Uuid,
        email_key: &str,
        client: Option<&str>,
        now: Timestamp,
    ) -> Result<Uuid, IdentityError> {
        const INSERT: &str = "INSERT INTO otp_challenges \
            (id, user_id, email_key, purpose, nonce, issued_at, expires_at, ip) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let (id, nonce) = (Uuid::now_v7(), rand::random::<[u8; 16]>());
        let insert = Executor::sql(tx, INSERT).bind(id).bind(user).bind(email_key).bind(VERIFY);
        let insert = insert.bind(backshift_core::Bytes::copy_from_slice(&nonce)).bind(now);
        let insert = insert.bind(after(now, self.config.otp_ttl)).bind(client);
        insert.run().await.map_err(internal)?;
        Ok(id)
    }

    pub(super) async fn check_code(&self, email: &str, otp: &SecretString) -> Result<(), IdentityError> {
        let address = address(email)?;
        if !is_well_formed(otp) {
            return Err(WRONG_BODY.into());
        }
        let Some(account) = self.account_by_key(&address.key).await? else {
            return Err(if self.config.uniform_errors { WRONG_OTP } else { USER_NOT_FOUND }.into());
        };
        if account.user.is_active {
            return Err(USER_VERIFIED.into());
        }
        let issued = newest(&self.db, account.user.id).await.map_err(internal)?.ok_or(WRONG_OTP)?;
        if issued.used {
            return Err(USER_VERIFIED.into());
        }
        self.refuse_dead(&issued)?;
        if !self.count_try(&issued).await? {
            return self.say_why(account.user.id).await;
        }
        if !self.config.code_key.matches(&issued.challenge(), otp) {
            return Err(WRONG_OTP.into());
        }
        self.activate(&issued).await
    }

    fn refuse_dead(&self, issued: &Issued) -> Result<(), IdentityError> {
        if issued.tries >= i64::from(self.config.max_tries) {
            return Err(TOO_MANY_ATTEMPTS.into());
        }
        if issued.expires_at <= self.now() {
            return Err(OTP_EXPIRED.into());
        }
        Ok(())
    }

    /// Takes one of the code's tries; `false` = there was none left, or the code ended meanwhile.
    async fn count_try(&self, issued: &Issued) -> Result<bool, IdentityError> {
        const TRY: &str = "UPDATE otp_challenges SET tries = tries + 1 \
            WHERE id = $1 AND tries < $2 AND used_at IS NULL AND expires_at > $3";
        let taken = self.db.sql(TRY).bind(issued.id).bind(self.config.max_tries).bind(self.now());
        Ok(taken.run().await.map_err(internal)? == 1)
    }

    /// Why no try was left: looked up again, because it was fine a moment ago.
    async fn say_why(&self, user: Uuid) -> Result<(), IdentityError> {
        match newest(&self.db, user).await.map_err(internal)? {
            Some(issued) if issued.used => Err(USER_VERIFIED.into()),
            Some(issued) => self.refuse_dead(&issued).and(Err(WRONG_OTP.into())),
            None => Err(WRONG_OTP.into()),
        }
    }

    /// Uses the code up, activates the account and begins the trial: all or nothing, once.
    async fn activate(&self, issued: &Issued) -> Result<(), IdentityError> {
        let now = self.now();
        let tx = self.db.begin().await.map_err(internal)?;
        lock_user(&tx, issued.user_id).await?;
        let used = "UPDATE otp_challenges SET used_at = $2 WHERE id = $1 AND used_at IS NULL";
        let used = Executor::sql(&tx, used).bind(issued.id).bind(now).run().await.map_err(internal)?;
        if used == 0 {
            return Err(USER_VERIFIED.into());
        }
        // System C's own columns for a code are emptied: what it mailed in clear must not open anything later.
        const ACTIVATE: &str = "UPDATE users SET is_active = $2, otp = NULL, otp_expired_at = NULL, updated_at = $3 \
            WHERE id = $1 AND deleted_at IS NULL";
        let activate = Executor::sql(&tx, ACTIVATE).bind(issued.user_id).bind(true).bind(now);
        activate.run().await.map_err(internal)?;
        begin_trial(&tx, issued.user_id, now, self.config.trial).await?;
        tx.commit().await.map_err(internal)
    }
}
